// One function an operation: how the rest of the trainer writes mathematics. Each returns a new value;
// shapes are inferred and checked on the spot.
import type { Draft, TensorType } from './infer-shape.ts';
import { inferType } from './infer-shape.ts';
import type { DType, Node, OpKind, Ops, OutlierColumns, Shape, Value } from './value.ts';

let nextId = 0;

const node = <K extends OpKind>(
  kind: K,
  inputs: Ops[K]['inputs'],
  attributes: Ops[K]['attributes'],
  leaf?: TensorType,
): Node<K> => {
  const draft: Draft<K> = { kind, inputs, attributes };
  const { shape, dtype } = leaf ?? inferType[kind](draft);
  return { id: nextId++, kind, inputs, attributes, shape, dtype };
};

export const input = (name: string, shape: Shape, dtype: DType = 'float32'): Node<'input'> =>
  node('input', [], { name }, { shape, dtype });

export const fill = (value: number, shape: Shape = []): Value =>
  node('fill', [], { value }, { shape, dtype: 'float32' });

export const add = (a: Value, b: Value): Value => node('add', [a, b], {});
export const sub = (a: Value, b: Value): Value => node('sub', [a, b], {});
export const mul = (a: Value, b: Value): Value => node('mul', [a, b], {});
export const max = (a: Value, b: Value): Value => node('max', [a, b], {});
export const greaterEqual = (a: Value, b: Value): Value => node('greater_equal', [a, b], {});
export const sigmoid = (x: Value): Value => node('sigmoid', [x], {});
export const log = (x: Value): Value => node('log', [x], {});
export const scale = (x: Value, factor: number): Value =>
  factor === 1 ? x : node('scale', [x], { factor });

export const reshape = (x: Value, shape: Shape): Value =>
  x.shape.join() === shape.join() ? x : node('reshape', [x], { shape });

export const transpose = (x: Value, order: readonly number[]): Value =>
  node('transpose', [x], { order });

export const slice = (x: Value, axis: number, [start, end]: readonly [number, number]): Value =>
  start === 0 && end === x.shape[axis] ? x : node('slice', [x], { axis, start, end });

export const pad = (x: Value, axis: number, [before, after]: readonly [number, number]): Value =>
  before === 0 && after === 0 ? x : node('pad', [x], { axis, before, after });

export const concat = (values: readonly Value[], axis: number): Value => {
  const [first, ...others] = values;
  return first && others.length === 0 ? first : node('concat', values, { axis });
};

export const broadcast = (x: Value, shape: Shape): Value =>
  x.shape.join() === shape.join() ? x : node('broadcast', [x], { shape });

export const reduceSum = (x: Value, axes: readonly number[]): Value =>
  axes.length === 0 ? x : node('reduce_sum', [x], { axes });

export const reduceMax = (x: Value, axes: readonly number[]): Value =>
  node('reduce_max', [x], { axes });

export const gatherRows = (table: Value, ids: Value): Value =>
  node('gather_rows', [table, ids], {});

export const scatterAddRows = (updates: Value, ids: Value, rows: number): Value =>
  node('scatter_add_rows', [updates, ids], { rows });

export const pick = (x: Value, ids: Value): Value => node('pick', [x, ids], {});

export interface MatmulOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  readonly scale?: number;
}

export const matmul = (
  a: Value,
  b: Value,
  { transposeA = false, transposeB = false, scale: factor = 1 }: MatmulOptions = {},
): Value => node('matmul', [a, b], { transposeA, transposeB, scale: factor });

export interface Int8MatmulOptions {
  readonly scale: Value;
  readonly transposeB: boolean;
  readonly outliers?: OutlierColumns | undefined;
}

/** x·Wᵀ with `transposeB`, else x·W, of W = scale[n]·weight[n, k] in 8-bit integers. */
export const int8Matmul = (
  x: Value,
  weight: Value,
  { scale: scales, transposeB, outliers }: Int8MatmulOptions,
): Value =>
  node('int8_matmul', outliers ? [x, weight, scales, ...outliers] : [x, weight, scales], {
    transposeB,
  });

export const unpackNibbles = (packed: Value): Value => node('unpack_nibbles', [packed], {});

/** (levels - zero) · scale: levels [N, K], scales [N, K/B] → [N, K] */
export const dequantise = (levels: Value, scales: Value, zero = 0): Value =>
  node('dequantise', [levels, scales], { zero });

export const softmax = (x: Value): Value => node('softmax', [x], {});

export const rmsNorm = (x: Value, weight: Value, epsilon: number): Value =>
  node('rms_norm', [x, weight], { epsilon });

export const inverseRms = (x: Value, epsilon: number): Value =>
  node('inverse_rms', [x], { epsilon });

export interface Rotation {
  /** int64 [B, T] */
  readonly positions: Value;
  /** [P, D/2] */
  readonly cos: Value;
  readonly sin: Value;
}

export const rope = (x: Value, { positions, cos, sin }: Rotation, inverse = false): Value =>
  node('rope', [x, positions, cos, sin], { inverse });

export const silu = (x: Value): Value => node('silu', [x], {});

export const attentionBlock = (
  q: Value,
  k: Value,
  v: Value,
  options: { readonly mask: Value; readonly scale: number },
): Value => node('attention_block', [q, k, v, options.mask], { scale: options.scale });

export const linearCrossEntropy = (h: Value, table: Value, labels: Value): Value =>
  node('linear_cross_entropy', [h, table, labels], {});
