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

/** Bytes that the store of pieces begins with. */
const firstStoreBytes = 64 * 1024;

/**
 * What tokens stand for, asked of llama.cpp once each and kept one behind the other: an array a token would
 * take 300 bytes for six.
 */
function createPieces(vocabulary: Address, size: number): (token: number) => Uint8Array {
  const llama = openLlama();
  const starts = new Int32Array(size).fill(-1);
  const ends = new Int32Array(size);
  let store = new Uint8Array(firstStoreBytes);
  let used = 0;
  let scratch = new Uint8Array(64);

  function read(token: number): void {
    let length = llama.piece(vocabulary, token, scratch, scratch.length, 0, false);
    if (length < 0) {
      scratch = new Uint8Array(-length);
      length = llama.piece(vocabulary, token, scratch, scratch.length, 0, false);
    }
    const end = used + Math.max(0, length);
    if (end > store.length) {
      // Views of the smaller one stay right: nothing in it changes any more.
      const larger = new Uint8Array(Math.max(end, 2 * store.length));
      larger.set(store);
      store = larger;
    }
    store.set(scratch.subarray(0, end - used), used);
    starts[token] = used;
    ends[token] = used = end;
  }

  return (token) => {
    if (starts[token] === undefined) return store.subarray(0, 0);
    if (starts[token] === -1) read(token);
    return store.subarray(starts[token], ends[token]);
  };
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
    piece: createPieces(vocabulary, size),
    spelling: (token) => llama.spelling(vocabulary, token) ?? '',
    isControl,
    controlTokens: () => (controls ??= allTokens(size).filter(isControl)),
    endOfGeneration,
  };
}
