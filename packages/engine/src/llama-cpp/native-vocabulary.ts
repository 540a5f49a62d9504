// The vocabulary of a loaded model: text to ids and back. SentencePiece models get a second handle that
// was loaded with the space prefix off, because llama_tokenize has no parameter for it.
import { openLlama, type Address } from './functions.ts';
import type { NativeVocabulary, TokenizeOptions, VocabularyKind } from './native-types.ts';

const kinds: Readonly<Record<number, VocabularyKind>> = { 1: 'sentencepiece', 2: 'byte-pair' };

// LLAMA_TOKEN_ATTR_UNKNOWN and LLAMA_TOKEN_ATTR_CONTROL
const controlAttributes = (1 << 0) | (1 << 3);

const allTokens = (size: number): number[] => Array.from({ length: size }, (_, token) => token);

/** How `llama_vocab_type` names the kind. */
export const vocabularyKind = (vocabulary: Address): VocabularyKind =>
  kinds[openLlama().vocabularyType(vocabulary)] ?? 'other';

function readPiece(vocabulary: Address, token: number): Uint8Array {
  const llama = openLlama();
  let buffer = new Uint8Array(64);
  let length = llama.piece(vocabulary, token, buffer, buffer.length, 0, false);
  if (length < 0) {
    buffer = new Uint8Array(-length);
    length = llama.piece(vocabulary, token, buffer, buffer.length, 0, false);
  }
  return buffer.slice(0, Math.max(0, length));
}

/**
 * `withoutPrefix` is the same vocabulary with `add_space_prefix` off; equal to `vocabulary` where the
 * kind knows no prefix.
 */
export function createVocabulary(vocabulary: Address, withoutPrefix: Address): NativeVocabulary {
  const llama = openLlama();
  const size = llama.vocabularySize(vocabulary);
  const optional = (token: number): number | null => (token >= 0 && token < size ? token : null);
  const endOfGeneration = new Set<number>();
  for (let token = 0; token < size; token++)
    if (llama.isEndOfGeneration(vocabulary, token)) endOfGeneration.add(token);
  const pieces: (Uint8Array | undefined)[] = [];
  let controls: readonly number[] | undefined;
  const isControl = (token: number): boolean =>
    (llama.attributes(vocabulary, token) & controlAttributes) !== 0;
  const encoder = new TextEncoder();

  function tokenize(text: string, { special, spacePrefix }: TokenizeOptions): number[] {
    const bytes = encoder.encode(text);
    // A token stands for at least one byte; two more for prefixes.
    const tokens = new Int32Array(bytes.length + 2);
    const handle = spacePrefix ? vocabulary : withoutPrefix;
    const count = llama.tokenize(
      handle,
      bytes,
      bytes.length,
      tokens,
      tokens.length,
      false,
      special,
    );
    if (count < 0) throw new Error(`llama_tokenize answered ${count}`);
    return Array.from(tokens.subarray(0, count));
  }

  return {
    kind: vocabularyKind(vocabulary),
    size,
    bos: optional(llama.vocabularyBos(vocabulary)),
    eos: optional(llama.vocabularyEos(vocabulary)),
    addBos: llama.vocabularyAddBos(vocabulary),
    addEos: llama.vocabularyAddEos(vocabulary),
    tokenize,
    piece: (token) => (pieces[token] ??= readPiece(vocabulary, token)),
    spelling: (token) => llama.spelling(vocabulary, token) ?? '',
    isControl,
    controlTokens: () => (controls ??= allTokens(size).filter(isControl)),
    endOfGeneration,
  };
}
