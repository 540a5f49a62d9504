// The angular frequencies of rotary position embedding, with the scalings of the Llama family applied.
// Sources: RoFormer (arXiv 2104.09864) for the base; transformers modeling_rope_utils.py for `llama3`.
import type { ModelConfig, RopeScaling } from './model-config.ts';

/** How much slower each of the head_dim / 2 frequencies of `llama3` turns. */
function llama3Factors(
  scaling: Extract<RopeScaling, { type: 'llama3' }>,
  frequencies: readonly number[],
): number[] {
  const { factor, low_freq_factor: low, high_freq_factor: high } = scaling;
  const context = scaling.original_max_position_embeddings;
  return frequencies.map((frequency) => {
    const wavelength = (2 * Math.PI) / frequency;
    if (wavelength < context / high) return 1;
    if (wavelength > context / low) return factor;
    const smooth = (context / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

/** Radians per position for each of the head_dim / 2 rotated pairs. */
export function ropeFrequencies(
  config: Pick<ModelConfig, 'head_dim' | 'rope_theta' | 'rope_scaling'>,
): Float64Array<ArrayBuffer> {
  const { head_dim: size, rope_theta: theta, rope_scaling: scaling } = config;
  const base = Array.from({ length: size / 2 }, (_, i) => theta ** ((-2 * i) / size));
  if (scaling === null) return Float64Array.from(base);
  switch (scaling.type) {
    case 'linear':
      return Float64Array.from(base, (frequency) => frequency / scaling.factor);
    case 'llama3': {
      const factors = llama3Factors(scaling, base);
      return Float64Array.from(base, (frequency, i) => frequency / (factors[i] ?? 1));
    }
    case 'factors':
      return Float64Array.from(base, (frequency, i) => frequency / (scaling.factors[i] ?? 1));
    default:
      return scaling satisfies never;
  }
}

/**
 * The values of `rope_freqs.weight` that a GGUF of this model needs (float32, head_dim / 2), or null: GGUF
 * has no other place for the scaling of Llama 3.1.
 */
export function ropeFactors(
  config: Pick<ModelConfig, 'head_dim' | 'rope_theta' | 'rope_scaling'>,
): Float32Array<ArrayBuffer> | null {
  if (config.rope_scaling === null || config.rope_scaling.type === 'linear') return null;
  const base = ropeFrequencies({ ...config, rope_scaling: null });
  const scaled = ropeFrequencies(config);
  return Float32Array.from(base, (frequency, i) => frequency / (scaled[i] ?? frequency));
}

/** The scalings that were published with Llama 3.1 and 3.2. */
const published = [8, 32].map((factor) => ({
  type: 'llama3' as const,
  factor,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8192,
}));

/**
 * What config.json says of the `factors` of a GGUF, which are all that it keeps of `llama3`: the published
 * scaling that has them, or null.
 */
export function scalingOfFactors(
  config: Pick<ModelConfig, 'head_dim' | 'rope_theta'>,
  factors: readonly number[],
): Extract<RopeScaling, { type: 'llama3' }> | null {
  const close = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-5 * Math.abs(b);
  const fits = (scaling: RopeScaling): boolean => {
    const expected = ropeFactors({ ...config, rope_scaling: scaling });
    return factors.every((factor, i) => close(factor, expected?.[i] ?? 0));
  };
  return published.find(fits) ?? null;
}
