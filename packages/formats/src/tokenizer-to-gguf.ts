// Hugging Face's tokenizer files as GGUF metadata. Stub of the public shape.
import type { GgufMetadata } from './gguf-metadata.ts';
import type { TokenizerFiles } from './tokenizer-from-gguf.ts';

/** The `tokenizer.*` entries of a GGUF. */
export function ggufTokenizerFromJson(_files: TokenizerFiles): GgufMetadata {
  throw new Error('not written yet');
}
