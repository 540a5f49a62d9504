// Undoes broadcasting: the gradient of a tensor that was stretched is the sum over what was stretched.
import { reduceSum, reshape } from '../graph/ops.ts';
import type { Shape, Value } from '../graph/value.ts';

/** `gradient` summed down to `shape`, which broadcasts to the gradient's own shape. */
export const unbroadcast = (gradient: Value, shape: Shape): Value => {
  const lead = gradient.shape.length - shape.length;
  const stretched = gradient.shape.flatMap((extent, axis) =>
    axis < lead || (shape[axis - lead] === 1 && extent !== 1) ? [axis] : [],
  );
  return reshape(reduceSum(gradient, stretched), shape);
};
