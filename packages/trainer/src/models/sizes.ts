// Named sizes of the one architecture, each with the file its numbers come from. Weights bring their own
// configuration; this table is for planning, benchmarks and training from scratch.
import type { ModelConfig } from '@corral/formats';

type Size = Pick<
  ModelConfig,
  | 'vocab_size'
  | 'hidden_size'
  | 'intermediate_size'
  | 'num_hidden_layers'
  | 'num_attention_heads'
  | 'num_key_value_heads'
> &
  Partial<ModelConfig>;

/** The knobs of Llama 2, which later models change one by one. */
const llama = (size: Size): ModelConfig => ({
  architecture: 'llama',
  head_dim: size.hidden_size / size.num_attention_heads,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  rope_scaling: null,
  max_position_embeddings: 4096,
  tie_word_embeddings: false,
  attention_bias: false,
  qk_norm: false,
  sliding_window: null,
  bos_token_id: 1,
  eos_token_id: 2,
  pad_token_id: null,
  ...size,
});

const llama31Rope = {
  type: 'llama3',
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8192,
} as const;

export const modelSizes = {
  // huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct config.json
  'smollm2-135m': llama({
    vocab_size: 49_152,
    hidden_size: 576,
    intermediate_size: 1536,
    num_hidden_layers: 30,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    rope_theta: 100_000,
    max_position_embeddings: 8192,
    tie_word_embeddings: true,
  }),
  // huggingface.co/TinyLlama/TinyLlama-1.1B-Chat-v1.0 config.json
  'tinyllama-1.1b': llama({
    vocab_size: 32_000,
    hidden_size: 2048,
    intermediate_size: 5632,
    num_hidden_layers: 22,
    num_attention_heads: 32,
    num_key_value_heads: 4,
    max_position_embeddings: 2048,
  }),
  // Touvron et al. 2023 (arXiv:2307.09288) and huggingface.co/meta-llama/Llama-2-7b-hf config.json
  'llama-2-7b': llama({
    vocab_size: 32_000,
    hidden_size: 4096,
    intermediate_size: 11_008,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 32,
  }),
  // huggingface.co/meta-llama/Llama-2-13b-hf config.json
  'llama-2-13b': llama({
    vocab_size: 32_000,
    hidden_size: 5120,
    intermediate_size: 13_824,
    num_hidden_layers: 40,
    num_attention_heads: 40,
    num_key_value_heads: 40,
  }),
  // huggingface.co/meta-llama/Llama-2-70b-hf config.json
  'llama-2-70b': llama({
    vocab_size: 32_000,
    hidden_size: 8192,
    intermediate_size: 28_672,
    num_hidden_layers: 80,
    num_attention_heads: 64,
    num_key_value_heads: 8,
  }),
  // huggingface.co/meta-llama/Llama-3.1-8B config.json
  'llama-3.1-8b': llama({
    vocab_size: 128_256,
    hidden_size: 4096,
    intermediate_size: 14_336,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    rope_theta: 500_000,
    rope_scaling: llama31Rope,
    max_position_embeddings: 131_072,
  }),
  // huggingface.co/Qwen/Qwen2.5-0.5B config.json
  'qwen2.5-0.5b': llama({
    architecture: 'qwen2',
    vocab_size: 151_936,
    hidden_size: 896,
    intermediate_size: 4864,
    num_hidden_layers: 24,
    num_attention_heads: 14,
    num_key_value_heads: 2,
    rms_norm_eps: 1e-6,
    rope_theta: 1_000_000,
    max_position_embeddings: 32_768,
    tie_word_embeddings: true,
    attention_bias: true,
  }),
  // huggingface.co/Qwen/Qwen3-0.6B config.json
  'qwen3-0.6b': llama({
    architecture: 'qwen3',
    vocab_size: 151_936,
    hidden_size: 1024,
    intermediate_size: 3072,
    num_hidden_layers: 28,
    num_attention_heads: 16,
    num_key_value_heads: 8,
    head_dim: 128,
    rms_norm_eps: 1e-6,
    rope_theta: 1_000_000,
    max_position_embeddings: 40_960,
    tie_word_embeddings: true,
    qk_norm: true,
  }),
} as const satisfies Record<string, ModelConfig>;
