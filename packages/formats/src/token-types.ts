// What a token of a GGUF vocabulary is (`tokenizer.ggml.token_type`). Source: llama.h, enum llama_token_type.

export const tokenTypes = {
  normal: 1,
  unknown: 2,
  /** Written by templates only, never found in text. */
  control: 3,
  /** Found in text before anything else is done with it. */
  userDefined: 4,
  unused: 5,
  /** `<0x00>` to `<0xFF>`: what a character without a token becomes. */
  byte: 6,
} as const;

/** The id keys that both worlds know: GGUF's key and tokenizer_config.json's. */
export const specialTokenKeys = [
  { gguf: 'tokenizer.ggml.bos_token_id', json: 'bos_token' },
  { gguf: 'tokenizer.ggml.eos_token_id', json: 'eos_token' },
  { gguf: 'tokenizer.ggml.unknown_token_id', json: 'unk_token' },
  { gguf: 'tokenizer.ggml.padding_token_id', json: 'pad_token' },
] as const;
