// Names of the same tensor in Hugging Face's files and in GGUF. Stub of the public shape.

/** `model.layers.0.self_attn.q_proj.weight` → `blk.0.attn_q.weight`; undefined when there is none. */
export function ggufTensorName(_hfName: string): string | undefined {
  throw new Error('not written yet');
}

/** The inverse of ggufTensorName. */
export function hfTensorName(_ggufName: string): string | undefined {
  throw new Error('not written yet');
}
