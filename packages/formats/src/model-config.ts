// One decoder's shape, whatever file it was read from. Stub of the public shape.
import type { GgufMetadata } from './gguf-metadata.ts';

export const architectures = ['llama', 'mistral', 'qwen2', 'qwen3'] as const;
export type Architecture = (typeof architectures)[number];

export type RopeScaling =
  | { readonly type: 'linear'; readonly factor: number }
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly low_freq_factor: number;
      readonly high_freq_factor: number;
      readonly original_max_position_embeddings: number;
    };

/** Names as in Hugging Face's config.json; every knob of the Llama family resolved. */
export interface ModelConfig {
  readonly architecture: Architecture;
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

/** From a folder with config.json, or from the metadata of a GGUF. */
export function readModelConfig(_from: string | GgufMetadata): Promise<ModelConfig> {
  return Promise.reject(new Error('not written yet'));
}
