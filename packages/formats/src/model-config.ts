// One decoder's shape, whatever file it was read from: every knob of the Llama family under Hugging Face's
// names, resolved and checked. Knows neither JSON nor GGUF: see model-config-json.ts, model-config-gguf.ts.
import { FormatError } from './format-error.ts';
import { maxBlocks, maxHeads, maxVocabulary, maxWidth } from './limits.ts';

export const architectures = ['llama', 'mistral', 'qwen2', 'qwen3'] as const;
export type Architecture = (typeof architectures)[number];

export type RopeScaling =
  /** Positions are divided by `factor`. */
  | { readonly type: 'linear'; readonly factor: number }
  /** Llama 3.1: low frequencies are divided by `factor`, high ones kept, those between interpolated. */
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly low_freq_factor: number;
      readonly high_freq_factor: number;
      readonly original_max_position_embeddings: number;
    }
  /** YaRN (Peng et al. 2023, arXiv:2309.00071): waves that turn often are kept, slow ones divided by `factor`. */
  | {
      readonly type: 'yarn';
      readonly factor: number;
      readonly original_max_position_embeddings: number;
      /** Turns within the original context from which a wave is kept, and below which it is divided. */
      readonly beta_fast: number;
      readonly beta_slow: number;
      /** Cosine and sine are multiplied by it. */
      readonly attention_factor: number;
      /** Borders between waves are whole pairs. */
      readonly truncate: boolean;
    }
  /** What GGUF stores of `llama3` (`rope_freqs.weight`): each frequency is divided by its factor. */
  | { readonly type: 'factors'; readonly factors: readonly number[] };

/** Names as in Hugging Face's config.json; every knob of the Llama family resolved. */
export interface ModelConfig {
  readonly architecture: Architecture;
  /** Rows of the embedding; a padded vocabulary has more rows than tokens. */
  readonly vocab_size: number;
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
  readonly rms_norm_eps: number;
  readonly rope_theta: number;
  readonly rope_scaling: RopeScaling | null;
  readonly max_position_embeddings: number;
  readonly tie_word_embeddings: boolean;
  /** Bias on q, k and v (Qwen2). */
  readonly attention_bias: boolean;
  /** RMSNorm on each head of q and k (Qwen3). */
  readonly qk_norm: boolean;
  readonly sliding_window: number | null;
  readonly bos_token_id: number | null;
  readonly eos_token_id: number | null;
  readonly pad_token_id: number | null;
}

/** Upper bounds of the sizes, each with its reason in limits.ts. */
const bounds = {
  vocab_size: maxVocabulary,
  hidden_size: maxWidth,
  intermediate_size: maxWidth,
  num_hidden_layers: maxBlocks,
  num_attention_heads: maxHeads,
  num_key_value_heads: maxHeads,
  head_dim: 65_536,
  max_position_embeddings: 2 ** 31 - 1,
} as const satisfies Partial<Record<keyof ModelConfig, number>>;

/** Throws FormatError for sizes that no model can have or that do not fit together. */
export function checkModelConfig(config: ModelConfig): ModelConfig {
  for (const [name, max] of Object.entries(bounds)) {
    const value = config[name as keyof typeof bounds];
    if (!Number.isInteger(value) || value < 1 || value > max)
      throw new FormatError(`${name} is ${value}; it must be a whole number from 1 to ${max}`);
  }
  const { num_attention_heads: heads, num_key_value_heads: keyValueHeads, head_dim } = config;
  if (heads % keyValueHeads !== 0)
    throw new FormatError(`${heads} attention heads cannot share ${keyValueHeads} key/value heads`);
  if (head_dim % 2 !== 0) throw new FormatError(`head_dim is ${head_dim}; it must be even`);
  if (!(config.rms_norm_eps > 0 && config.rms_norm_eps < 1))
    throw new FormatError(`rms_norm_eps is ${config.rms_norm_eps}`);
  if (!(config.rope_theta >= 1 && Number.isFinite(config.rope_theta)))
    throw new FormatError(`rope_theta is ${config.rope_theta}`);
  return config;
}

/** True where GGUF stores the rows of q and k in another order (permute-qk.ts). */
export const permutesQk = (architecture: Architecture): boolean =>
  architecture === 'llama' || architecture === 'mistral';
