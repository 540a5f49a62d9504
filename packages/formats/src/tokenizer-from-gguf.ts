// The tokenizer in a GGUF header as Hugging Face's two JSON objects. Stub of the public shape.
import type { GgufMetadata } from './gguf-metadata.ts';

export type JsonObject = { [key: string]: unknown };

/** What `new Tokenizer(tokenizerJson, tokenizerConfig)` of @huggingface/tokenizers takes. */
export interface TokenizerFiles {
  readonly tokenizerJson: JsonObject;
  /** bos_token, eos_token, pad_token, unk_token, add_bos_token, add_eos_token, chat_template. */
  readonly tokenizerConfig: JsonObject;
}

/** Builds tokenizer.json and tokenizer_config.json from `tokenizer.*` metadata (models llama and gpt2). */
export function tokenizerJsonFromGguf(_metadata: GgufMetadata): TokenizerFiles {
  throw new Error('not written yet');
}
