// Adds up the gradients that reach a value by several ways. Slices that cut a value into pieces send back
// each piece in a frame of zeros: where the pieces meet without overlapping, the sum is the pieces side by
// side, and no zero is ever written or added.
import { add, concat } from '../graph/ops.ts';
import type { Node, Value } from '../graph/value.ts';

const isPad = (value: Value): value is Node<'pad'> => value.kind === 'pad';

const start = (piece: Node<'pad'>): number => piece.attributes.before;
const end = (piece: Node<'pad'>): number =>
  start(piece) + (piece.inputs[0].shape[piece.attributes.axis] ?? 0);

/** The parts side by side, where they are pieces that fill one axis; else null. */
const joined = (parts: readonly Value[]): Value | null => {
  const pieces = parts.filter(isPad).toSorted((a, b) => start(a) - start(b));
  const [first] = pieces;
  if (!first || pieces.length < parts.length) return null;
  const { axis } = first.attributes;
  let filled = 0;
  for (const piece of pieces) {
    if (piece.attributes.axis !== axis || start(piece) !== filled) return null;
    filled = end(piece);
  }
  if (filled !== first.shape[axis]) return null;
  return concat(
    pieces.map(({ inputs: [piece] }) => piece),
    axis,
  );
};

/** The sum of at least one part, in their order. */
export const sumParts = (parts: readonly Value[]): Value => joined(parts) ?? parts.reduce(add);
