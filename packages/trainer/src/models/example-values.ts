// Numbers by example instead of by token: sums over each example of a batch, and factors spread back over
// its tokens. Knows layouts only.
import type { ExampleValues, PackedBatch } from './causal-lm.ts';

type Layout = Pick<PackedBatch, 'rows' | 'seqLen' | 'segments' | 'weights'>;

/** Σ weight · loss of each example; `losses` is [rows · seqLen]. In order, in float64. */
export const sumByExample = (batch: Layout, losses: Float32Array): ExampleValues => {
  const { rows, seqLen, segments, weights } = batch;
  return Array.from({ length: rows }, (_, row) => {
    const from = row * seqLen;
    const own = segments.subarray(from, from + seqLen);
    const sums = new Float64Array(own.reduce((most, segment) => Math.max(most, segment + 1), 0));
    for (const [step, segment] of own.entries()) {
      const at = from + step;
      if (segment >= 0)
        sums[segment] = (sums[segment] ?? 0) + (weights[at] ?? 0) * (losses[at] ?? 0);
    }
    return sums;
  });
};

/** The batch's loss weights, each times the factor of its example. */
export const scaleByExample = (batch: Layout, factors: ExampleValues): Float32Array =>
  batch.weights.map((weight, at) => {
    const segment = batch.segments[at] ?? -1;
    return weight * (factors[Math.floor(at / batch.seqLen)]?.[segment] ?? 0);
  });
