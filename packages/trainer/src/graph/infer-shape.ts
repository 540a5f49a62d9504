// The shape and element type of every operation's result, and the checks that make a wrong graph fail
// where it is built. Errors here are defects of the program, not of a user's input.
import type { DType, Node, OpKind, Shape, Value } from './value.ts';
import { elementCount } from './value.ts';

/** What is known of a node before its shape is. */
export type Draft<K extends OpKind> = Pick<Node<K>, 'kind' | 'inputs' | 'attributes'>;

export interface TensorType {
  readonly shape: Shape;
  readonly dtype: DType;
}

const fail = (kind: OpKind, reason: string, values: readonly Value[]): never => {
  const shapes = values.map(({ shape }) => `[${shape.join(', ')}]`).join(' and ');
  throw new TypeError(`${kind}: ${reason} (${shapes})`);
};

const float = (shape: Shape): TensorType => ({ shape, dtype: 'float32' });
const like = ({ shape, dtype }: Value): TensorType => ({ shape, dtype });

/** NumPy's rule: align right; extents are equal, or one of them is 1. */
export const broadcastShapes = (a: Shape, b: Shape): Shape | null => {
  const rank = Math.max(a.length, b.length);
  const result: number[] = [];
  for (let i = 0; i < rank; i++) {
    const x = a[a.length - rank + i] ?? 1;
    const y = b[b.length - rank + i] ?? 1;
    if (x !== y && x !== 1 && y !== 1) return null;
    result.push(Math.max(x, y));
  }
  return result;
};

const replaceExtent = (shape: Shape, axis: number, extent: number): Shape =>
  shape.map((old, i) => (i === axis ? extent : old));

const extentOf = (kind: OpKind, value: Value, axis: number): number =>
  value.shape[axis] ?? fail(kind, `there is no axis ${axis}`, [value]);

const elementwise = <K extends 'add' | 'sub' | 'mul' | 'max' | 'greater_equal'>({
  kind,
  inputs: [a, b],
}: Draft<K>): TensorType =>
  float(broadcastShapes(a.shape, b.shape) ?? fail(kind, 'shapes do not broadcast', [a, b]));

const reduced = ({
  kind,
  inputs: [x],
  attributes: { axes },
}: Draft<'reduce_sum' | 'reduce_max'>): TensorType => {
  for (const axis of axes) extentOf(kind, x, axis);
  return float(x.shape.map((extent, i) => (axes.includes(i) ? 1 : extent)));
};

const same = ({ inputs: [x] }: { readonly inputs: readonly [Value] }): TensorType => like(x);

const lastTwo = (kind: OpKind, value: Value, transpose: boolean): readonly [number, number] => {
  const rows = extentOf(kind, value, value.shape.length - 2);
  const columns = extentOf(kind, value, value.shape.length - 1);
  return transpose ? [columns, rows] : [rows, columns];
};

const matmulType = ({ kind, inputs: [a, b], attributes }: Draft<'matmul'>): TensorType => {
  const [m, k] = lastTwo(kind, a, attributes.transposeA);
  const [k2, n] = lastTwo(kind, b, attributes.transposeB);
  const batch = a.shape.slice(0, -2);
  const sameBatch =
    a.shape.length === b.shape.length && batch.every((extent, i) => extent === b.shape[i]);
  if (k !== k2 || !sameBatch) fail(kind, 'shapes do not multiply', [a, b]);
  return float([...batch, m, n]);
};

const int8MatmulType = ({ kind, inputs, attributes }: Draft<'int8_matmul'>): TensorType => {
  const [x, weight, scales, keep, columns, outliers] = inputs;
  const [n = 0, k = 0] = weight.shape;
  const outliersFit =
    keep === undefined ||
    (attributes.transposeB &&
      keep.shape.join() === `${k}` &&
      outliers?.shape.join() === `${n},${columns?.shape[0]}`);
  const fits =
    x.shape.length === 2 &&
    weight.dtype === 'int8' &&
    x.shape[1] === (attributes.transposeB ? k : n) &&
    scales.shape.join() === `${n}`;
  if (!fits || !outliersFit)
    fail(kind, 'x [M, K] or [M, N], weight int8 [N, K], scale [N], outliers [N, O]', inputs);
  return float([extentOf(kind, x, 0), attributes.transposeB ? n : k]);
};

const dequantiseType = ({ kind, inputs, attributes }: Draft<'dequantise'>): TensorType => {
  const [levels, scales] = inputs;
  const [rows = 0, columns = 0] = levels.shape;
  const fits =
    (levels.dtype === 'uint8' || (levels.dtype === 'int8' && attributes.zero === 0)) &&
    scales.shape[0] === rows &&
    columns % (scales.shape[1] ?? Number.NaN) === 0;
  return fits
    ? float(levels.shape)
    : fail(kind, 'levels [N, K] (signed without a zero), scale [N, K/B]', inputs);
};

const concatType = ({ kind, inputs, attributes: { axis } }: Draft<'concat'>): TensorType => {
  const [first] = inputs;
  if (!first) throw new TypeError('concat: nothing to join');
  let extent = 0;
  for (const value of inputs) {
    const fits =
      value.shape.length === first.shape.length &&
      value.shape.every((n, i) => i === axis || n === first.shape[i]);
    if (!fits) fail(kind, 'shapes differ beside the joined axis', inputs);
    extent += extentOf(kind, value, axis);
  }
  return { shape: replaceExtent(first.shape, axis, extent), dtype: first.dtype };
};

const ropeType = ({ kind, inputs }: Draft<'rope'>): TensorType => {
  const [x, positions, cos, sin] = inputs;
  const [batch, , steps, width] = x.shape;
  const fits =
    x.shape.length === 4 &&
    positions.shape[0] === batch &&
    positions.shape[1] === steps &&
    cos.shape[1] === (width ?? 0) / 2 &&
    sin.shape[1] === cos.shape[1];
  if (!fits) fail(kind, 'x [B, H, T, D], positions [B, T], cos and sin [P, D/2]', inputs);
  return like(x);
};

const attentionType = ({ kind, inputs }: Draft<'attention_block'>): TensorType => {
  const [q, k, v, mask] = inputs;
  const [groups = 0, rows = 0, width] = q.shape;
  const [batch = 1, , queries = 1, keys] = mask.shape;
  const fits =
    k.shape[0] === groups &&
    v.shape[0] === groups &&
    k.shape[1] === keys &&
    v.shape[1] === keys &&
    k.shape[2] === width &&
    (groups * rows) % (batch * queries) === 0;
  if (!fits) fail(kind, 'q [BK, RQ, D], k, v [BK, S, D], mask [B, 1, Q, S]', inputs);
  return float([groups, rows, extentOf(kind, v, 2)]);
};

/** The type of each operation's result. @throws TypeError when the inputs do not fit */
export const inferType: { readonly [K in OpKind]: (draft: Draft<K>, given?: Shape) => TensorType } =
  {
    // The shape of a leaf is not inferred: it is given with the leaf.
    input: (_, given = []) => float(given),
    fill: (_, given = []) => float(given),
    add: elementwise,
    sub: elementwise,
    mul: elementwise,
    max: elementwise,
    greater_equal: elementwise,
    scale: same,
    sigmoid: same,
    log: same,
    reshape: ({ kind, inputs: [x], attributes: { shape } }) =>
      elementCount(shape) === elementCount(x.shape)
        ? { shape, dtype: x.dtype }
        : fail(kind, `cannot become [${shape.join(', ')}]`, [x]),
    transpose: ({ kind, inputs: [x], attributes: { order } }) => ({
      shape: order.map((axis) => extentOf(kind, x, axis)),
      dtype: x.dtype,
    }),
    slice: ({ kind, inputs: [x], attributes: { axis, start, end } }) =>
      start >= 0 && start < end && end <= extentOf(kind, x, axis)
        ? { shape: replaceExtent(x.shape, axis, end - start), dtype: x.dtype }
        : fail(kind, `[${start}, ${end}) is outside axis ${axis}`, [x]),
    pad: ({ kind, inputs: [x], attributes: { axis, before, after } }) =>
      float(replaceExtent(x.shape, axis, extentOf(kind, x, axis) + before + after)),
    concat: concatType,
    broadcast: ({ kind, inputs: [x], attributes: { shape } }) =>
      broadcastShapes(x.shape, shape)?.join() === shape.join()
        ? float(shape)
        : fail(kind, `does not broadcast to [${shape.join(', ')}]`, [x]),
    reduce_sum: reduced,
    reduce_max: reduced,
    gather_rows: ({ kind, inputs: [table, ids] }) =>
      float([extentOf(kind, ids, 0), extentOf(kind, table, 1)]),
    scatter_add_rows: ({ kind, inputs: [updates], attributes: { rows } }) =>
      float([rows, extentOf(kind, updates, 1)]),
    pick: ({ kind, inputs: [x] }) => float([extentOf(kind, x, 0), 1]),
    matmul: matmulType,
    int8_matmul: int8MatmulType,
    unpack_nibbles: ({ kind, inputs: [x] }) =>
      x.dtype === 'uint8' && x.shape.length === 2
        ? { shape: [extentOf(kind, x, 0), 2 * extentOf(kind, x, 1)], dtype: 'uint8' }
        : fail(kind, 'packed uint8 [N, K/2]', [x]),
    dequantise: dequantiseType,
    softmax: same,
    rms_norm: ({ kind, inputs: [x, weight] }) =>
      weight.shape.length === 1 && weight.shape[0] === x.shape.at(-1)
        ? like(x)
        : fail(kind, 'the weight is as long as the last axis', [x, weight]),
    inverse_rms: ({ inputs: [x] }) => float([...x.shape.slice(0, -1), 1]),
    rope: ropeType,
    silu: same,
    attention_block: attentionType,
    linear_cross_entropy: ({ kind, inputs: [h, table, labels] }) =>
      h.shape[1] === table.shape[1] && labels.shape[0] === h.shape[0]
        ? float([extentOf(kind, h, 0), 1])
        : fail(kind, 'h [M, D], table [V, D], labels [M]', [h, table]),
  };
