// A linear layer, alone or with low-rank adapters on it.
import { add, concat, matmul, mul, pad } from '../graph/ops.ts';
import type { Value } from '../graph/value.ts';

/** A matrix W [out, in], as Hugging Face stores it, however its numbers lie in memory. */
export interface Matrix {
  readonly outputs: number;
  /** x·Wᵀ: x [M, in] → [M, out] */
  readonly times: (x: Value) => Value;
}

export interface Linear {
  readonly weight: Matrix;
  /** [out] */
  readonly bias?: Value | undefined;
}

/** x·Wᵀ + b: x [M, in] → [M, out] */
const linear = (x: Value, { weight, bias }: Linear): Value => {
  const y = weight.times(x);
  return bias ? add(y, bias) : y;
};

/** Trains the rows [start, end) of a weight: the whole of it, or one of several that are stored as one. */
interface Adapter {
  /** [r, in] */
  readonly a: Value;
  /** [end - start, r] */
  readonly b: Value;
  readonly rows: readonly [start: number, end: number];
}

export interface LoraOptions {
  readonly adapters: readonly Adapter[];
  /** alpha / rank */
  readonly scale: number;
  /** [M, in], 0 or 1 / (1 - dropout); multiplies the adapters' input only. */
  readonly dropoutMask?: Value | undefined;
}

/**
 * LoRA (Hu et al. 2021, arXiv:2106.09685): y = x·Wᵀ + scale·(x·Aᵀ)·Bᵀ.
 * Adapters on parts of one weight run together: their A stacked, their B side by side, zero where a part
 * does not reach. Two small products instead of two for each part; the zeros are cut away again by the
 * derivatives of pad and concat.
 */
export const loraLinear = (
  x: Value,
  base: Linear,
  { adapters, scale, dropoutMask }: LoraOptions,
): Value => {
  const y = linear(x, base);
  if (adapters.length === 0) return y;
  const out = base.weight.outputs;
  const a = concat(
    adapters.map((adapter) => adapter.a),
    0,
  );
  const b = concat(
    adapters.map((adapter) => pad(adapter.b, 0, [adapter.rows[0], out - adapter.rows[1]])),
    1,
  );
  const low = matmul(dropoutMask ? mul(x, dropoutMask) : x, a, { transposeB: true });
  return add(y, matmul(low, b, { transposeB: true, scale }));
};
