// Cosine and sine of every rotary angle, with the scalings that the Llama family uses. The frequencies
// are computed in float64 and rounded once.
import type { ModelConfig, RopeScaling } from '@corral/formats';

/** Frequencies of the D/2 pairs: theta^(-2i/D) (Su et al. 2021, arXiv:2104.09864). */
const baseFrequencies = (width: number, theta: number): number[] =>
  Array.from({ length: width / 2 }, (_, i) => theta ** ((-2 * i) / width));

/**
 * Llama 3.1's scaling: long waves are stretched by `factor`, short ones stay, those between are mixed
 * (transformers, modeling_rope_utils.py, _compute_llama3_parameters).
 */
const llama3 = (
  frequency: number,
  scaling: Extract<RopeScaling, { readonly type: 'llama3' }>,
): number => {
  const { factor, low_freq_factor: low, high_freq_factor: high } = scaling;
  const turns = (scaling.original_max_position_embeddings * frequency) / (2 * Math.PI);
  if (turns < low) return frequency / factor;
  if (turns > high) return frequency;
  const share = (turns - low) / (high - low);
  return ((1 - share) * frequency) / factor + share * frequency;
};

/** The frequency of pair `i` under the model's scaling. */
const scaled = (frequency: number, i: number, scaling: RopeScaling | null): number => {
  switch (scaling?.type) {
    case 'linear':
      return frequency / scaling.factor;
    case 'llama3':
      return llama3(frequency, scaling);
    case 'factors':
      return frequency / (scaling.factors[i] ?? 1);
    case undefined:
    default:
      return frequency;
  }
};

export interface RopeTables {
  /** [steps, D/2] */
  readonly cos: Float32Array;
  readonly sin: Float32Array;
}

export const ropeTables = (config: ModelConfig, steps: number): RopeTables => {
  const frequencies = baseFrequencies(config.head_dim, config.rope_theta).map((frequency, i) =>
    scaled(frequency, i, config.rope_scaling),
  );
  const cos = new Float32Array(steps * frequencies.length);
  const sin = new Float32Array(steps * frequencies.length);
  for (let position = 0; position < steps; position++) {
    for (const [i, frequency] of frequencies.entries()) {
      cos[position * frequencies.length + i] = Math.cos(position * frequency);
      sin[position * frequencies.length + i] = Math.sin(position * frequency);
    }
  }
  return { cos, sin };
};
