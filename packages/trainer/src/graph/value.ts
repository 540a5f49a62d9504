// The vocabulary of the trainer's mathematics: which operations exist, what each takes, what a value is.
// A value is an immutable node with a static shape; a graph is whatever can be reached from the values
// one asks for, so there is no builder to carry about and nothing dead to remove. Knows no numbers and
// no runtime. Adding an operation here breaks the compile until shape, derivative, cost and ONNX have it.

/** Integers of eight bits are only stored: every result is float32, but for unpacked integers. */
export type DType = 'float32' | 'int64' | 'int8' | 'uint8';
export type Shape = readonly number[];

type None = Readonly<Record<never, never>>;
type Unary = { readonly inputs: readonly [x: Value]; readonly attributes: None };
type Binary = { readonly inputs: readonly [a: Value, b: Value]; readonly attributes: None };
interface Op<Inputs extends readonly Value[], Attributes> {
  readonly inputs: Inputs;
  readonly attributes: Readonly<Attributes>;
}

/** keep [K], columns int64 [O], outliers [N, O]: see int8_matmul. */
export type OutlierColumns = readonly [keep: Value, columns: Value, outliers: Value];

/** Every operation: its inputs and its attributes. Shapes are in infer-shape.ts. */
export interface Ops {
  // Leaves
  /** A tensor fed at each run. */
  input: Op<readonly [], { name: string }>;
  /** A tensor of one repeated number. */
  fill: Op<readonly [], { value: number }>;

  // Element by element, with NumPy broadcasting
  add: Binary;
  sub: Binary;
  mul: Binary;
  max: Binary;
  /** 1 where a ≥ b, else 0, as float32. */
  greater_equal: Binary;
  /** factor · x */
  scale: Op<readonly [x: Value], { factor: number }>;
  sigmoid: Unary;
  log: Unary;

  // Layout
  reshape: Op<readonly [x: Value], { shape: Shape }>;
  transpose: Op<readonly [x: Value], { order: readonly number[] }>;
  /** x[start, end) along one axis. */
  slice: Op<readonly [x: Value], { axis: number; start: number; end: number }>;
  /** Zeros before and after along one axis: the inverse of slice. */
  pad: Op<readonly [x: Value], { axis: number; before: number; after: number }>;
  concat: Op<readonly Value[], { axis: number }>;
  broadcast: Op<readonly [x: Value], { shape: Shape }>;

  // Reductions; reduced axes stay, with length 1
  reduce_sum: Op<readonly [x: Value], { axes: readonly number[] }>;
  reduce_max: Op<readonly [x: Value], { axes: readonly number[] }>;

  // Rows by index
  /** table [V, D], ids [M] → [M, D] */
  gather_rows: Op<readonly [table: Value, ids: Value], None>;
  /** updates [M, D], ids [M] → [rows, D]; rows with the same id add up. */
  scatter_add_rows: Op<readonly [updates: Value, ids: Value], { rows: number }>;
  /** x [M, V], ids [M] → [M, 1]: one element of each row. */
  pick: Op<readonly [x: Value, ids: Value], None>;

  // Kernels of their own
  /** scale · a·b over the last two axes, each transposed first if so marked; other axes must be equal. */
  matmul: Op<
    readonly [a: Value, b: Value],
    { transposeA: boolean; transposeB: boolean; scale: number }
  >;
  /**
   * A product with frozen 8-bit integers in integer arithmetic. weight int8 [N, K] stands for
   * scale[n] · weight[n, k]; each row of the other operand is rounded to 8 bits by its own largest
   * magnitude. transposeB: x [M, K] → x·Wᵀ [M, N]; else x [M, N] → x·W [M, K], with scale folded into x
   * before it is rounded, so that both directions use the same integers. With outliers (transposeB
   * only), `columns` int64 [O] of x are multiplied in float32 with outliers [N, O], and rounded as 0:
   * keep [K] is 0 there and 1 elsewhere.
   */
  int8_matmul: Op<
    | readonly [x: Value, weight: Value, scale: Value]
    | readonly [x: Value, weight: Value, scale: Value, ...outliers: OutlierColumns],
    { transposeB: boolean }
  >;
  /** packed uint8 [N, K/2] → uint8 [N, K] of 0 to 15: low halves are columns [0, K/2), high ones the rest. */
  unpack_nibbles: Unary;
  /** Frozen blocks as numbers: (levels - zero) · scale, levels int8 or uint8 [N, K], scale [N, K/B]. */
  dequantise: Op<readonly [levels: Value, scale: Value], { zero: number }>;
  /** Over the last axis. */
  softmax: Unary;
  /** x / √(mean(x²) + ε) · weight over the last axis (Zhang & Sennrich 2019, arXiv:1910.07467). */
  rms_norm: Op<readonly [x: Value, weight: Value], { epsilon: number }>;
  /** 1 / √(mean(x²) + ε) over the last axis, which stays with length 1. */
  inverse_rms: Op<readonly [x: Value], { epsilon: number }>;
  /**
   * Rotates the pairs (i, i + D/2) of x [B, H, T, D] by the angle of their position (Su et al. 2021,
   * arXiv:2104.09864, in the half-split layout of Hugging Face). positions [B, T] index the rows of
   * cos and sin [P, D/2]; `inverse` turns the other way.
   */
  rope: Op<readonly [x: Value, positions: Value, cos: Value, sin: Value], { inverse: boolean }>;

  // Composites: defined by their expansion (composites.ts), differentiated by a rule that does less
  /** x · sigmoid(x) */
  silu: Unary;
  /**
   * softmax(scale · q·kᵀ + mask)·v for one block of queries. q [B·K, R·Q, D], k and v [B·K, S, D],
   * mask [B, 1, Q, S] with 0 where a query may look and a large negative number elsewhere. K key/value
   * heads, each shared by R query heads.
   */
  attention_block: Op<readonly [q: Value, k: Value, v: Value, mask: Value], { scale: number }>;
  /** -log softmax(h·tableᵀ)[label]: h [M, D], table [V, D], labels [M] → [M, 1]. */
  linear_cross_entropy: Op<readonly [h: Value, table: Value, labels: Value], None>;
}

export type OpKind = keyof Ops;

export interface Node<K extends OpKind> {
  /** Grows with creation, and inputs exist first: ascending ids are a topological order. */
  readonly id: number;
  readonly kind: K;
  readonly inputs: Ops[K]['inputs'];
  readonly attributes: Ops[K]['attributes'];
  readonly shape: Shape;
  readonly dtype: DType;
}

export type Value = { [K in OpKind]: Node<K> }[OpKind];

/** One function an operation: total, so that a new operation cannot be forgotten. */
export type OpTable<Extra extends readonly unknown[], Result> = {
  readonly [K in OpKind]: (node: Node<K>, ...extra: Extra) => Result;
};

/** Calls the entry of a table that belongs to the node. */
export const dispatch = <Extra extends readonly unknown[], Result>(
  table: OpTable<Extra, Result>,
  node: Value,
  ...extra: Extra
): Result => (table[node.kind] as (node: Value, ...extra: Extra) => Result)(node, ...extra);

export const elementCount = (shape: Shape): number => shape.reduce((n, extent) => n * extent, 1);
