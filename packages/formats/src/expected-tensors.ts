// The tensors that a decoder of a given shape has, under Hugging Face's names. One list for readers, for
// writers and for whoever starts from random weights.
import type { ModelConfig } from './model-config.ts';

function* layerTensors(config: ModelConfig): Generator<[string, number[]]> {
  const { hidden_size: hidden, intermediate_size: inner, head_dim: size } = config;
  const queries = config.num_attention_heads * size;
  const keys = config.num_key_value_heads * size;
  yield ['input_layernorm.weight', [hidden]];
  yield ['self_attn.q_proj.weight', [queries, hidden]];
  yield ['self_attn.k_proj.weight', [keys, hidden]];
  yield ['self_attn.v_proj.weight', [keys, hidden]];
  yield ['self_attn.o_proj.weight', [hidden, queries]];
  if (config.attention_bias) {
    yield ['self_attn.q_proj.bias', [queries]];
    yield ['self_attn.k_proj.bias', [keys]];
    yield ['self_attn.v_proj.bias', [keys]];
  }
  if (config.qk_norm) {
    yield ['self_attn.q_norm.weight', [size]];
    yield ['self_attn.k_norm.weight', [size]];
  }
  yield ['post_attention_layernorm.weight', [hidden]];
  yield ['mlp.gate_proj.weight', [inner, hidden]];
  yield ['mlp.up_proj.weight', [inner, hidden]];
  yield ['mlp.down_proj.weight', [hidden, inner]];
}

/** Name and row-major shape of every tensor of the model, in the order of a forward pass. */
export function expectedTensors(config: ModelConfig): ReadonlyMap<string, readonly number[]> {
  const { vocab_size: vocabulary, hidden_size: hidden } = config;
  const tensors = new Map<string, readonly number[]>();
  tensors.set('model.embed_tokens.weight', [vocabulary, hidden]);
  for (let layer = 0; layer < config.num_hidden_layers; layer++)
    for (const [name, shape] of layerTensors(config))
      tensors.set(`model.layers.${layer}.${name}`, shape);
  tensors.set('model.norm.weight', [hidden]);
  if (!config.tie_word_embeddings) tensors.set('lm_head.weight', [vocabulary, hidden]);
  return tensors;
}
