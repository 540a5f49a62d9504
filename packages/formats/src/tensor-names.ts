// Names of the same tensor in Hugging Face's files and in GGUF, as two tables. Source: gguf-py,
// tensor_mapping.py. Knows nothing of values: the row order of q and k is permute-qk.ts's business.

const wholeModel: Record<string, string> = {
  'model.embed_tokens': 'token_embd',
  'model.norm': 'output_norm',
  lm_head: 'output',
};

const perLayer: Record<string, string> = {
  input_layernorm: 'attn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  'self_attn.q_norm': 'attn_q_norm',
  'self_attn.k_norm': 'attn_k_norm',
  post_attention_layernorm: 'ffn_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
};

const invert = (table: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(table).map(([from, to]) => [to, from]));
const wholeModelBack = invert(wholeModel);
const perLayerBack = invert(perLayer);

const lookUp = (table: Record<string, string>, name: string): string | undefined =>
  Object.hasOwn(table, name) ? table[name] : undefined;

/**
 * `model.layers.0.self_attn.q_proj.weight` → `blk.0.attn_q.weight`; undefined when GGUF has no such
 * tensor (rotary_emb.inv_freq, for one). The suffix (`weight`, `bias`) is kept.
 */
export function ggufTensorName(hfName: string): string | undefined {
  const [, stem = '', suffix = ''] = /^(.+)\.(weight|bias)$/.exec(hfName) ?? [];
  const layer = /^model\.layers\.(\d+)\.(.+)$/.exec(stem);
  if (layer === null) {
    const found = lookUp(wholeModel, stem);
    return found === undefined ? undefined : `${found}.${suffix}`;
  }
  const found = lookUp(perLayer, layer[2] ?? '');
  return found === undefined ? undefined : `blk.${layer[1]}.${found}.${suffix}`;
}

/** The inverse of ggufTensorName; undefined for tensors that only GGUF has (`rope_freqs.weight`). */
export function hfTensorName(ggufName: string): string | undefined {
  const [, stem = '', suffix = ''] = /^(.+)\.(weight|bias)$/.exec(ggufName) ?? [];
  const layer = /^blk\.(\d+)\.(.+)$/.exec(stem);
  if (layer === null) {
    const found = lookUp(wholeModelBack, stem);
    return found === undefined ? undefined : `${found}.${suffix}`;
  }
  const found = lookUp(perLayerBack, layer[2] ?? '');
  return found === undefined ? undefined : `model.layers.${layer[1]}.${found}.${suffix}`;
}

/** 'q' or 'k' for the tensors whose rows permute-qk.ts reorders, by Hugging Face's name. */
export function permutedProjection(hfName: string): 'q' | 'k' | undefined {
  const [, letter] = /\.self_attn\.([qk])_proj\.(?:weight|bias)$/.exec(hfName) ?? [];
  return letter === 'q' || letter === 'k' ? letter : undefined;
}
