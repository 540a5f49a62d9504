// The angular frequencies of rotary position embedding, with the scalings of the Llama family applied.
// Sources: RoFormer (arXiv 2104.09864) for the base; transformers modeling_rope_utils.py for `llama3`
// and `yarn`.
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

type Yarn = Extract<RopeScaling, { type: 'yarn' }>;

/** What cosine and sine are multiplied by where a config does not say: 0.1·ln(factor) + 1. */
export const yarnMagnitude = (factor: number, mscale = 1): number =>
  factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1;

/** How much of each frequency is kept, 1 to 0; the rest of it is divided by `factor`. */
function yarnKept(
  { original_max_position_embeddings: context, beta_fast, beta_slow, truncate }: Yarn,
  { head_dim: size, rope_theta: theta }: Pick<ModelConfig, 'head_dim' | 'rope_theta'>,
): number[] {
  /** The pair that makes `turns` turns within the original context. */
  const pairOf = (turns: number): number =>
    (size * Math.log(context / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const [fast, slow] = [pairOf(beta_fast), pairOf(beta_slow)];
  const low = Math.max(truncate ? Math.floor(fast) : fast, 0);
  const high = Math.min(truncate ? Math.ceil(slow) : slow, size - 1);
  const width = Math.max(0.001, high - low);
  return Array.from(
    { length: size / 2 },
    (_, i) => 1 - Math.min(1, Math.max(0, (i - low) / width)),
  );
}

/** Cosine and sine of a model's rotary angles are multiplied by this. */
export const ropeMagnitude = ({
  rope_scaling: scaling,
}: Pick<ModelConfig, 'rope_scaling'>): number =>
  scaling?.type === 'yarn' ? scaling.attention_factor : 1;

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
    case 'yarn': {
      const kept = yarnKept(scaling, config);
      return Float64Array.from(base, (frequency, i) => {
        const share = kept[i] ?? 1;
        return (frequency / scaling.factor) * (1 - share) + frequency * share;
      });
    }
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
  const type = config.rope_scaling?.type;
  if (type !== 'llama3' && type !== 'factors') return null;
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
