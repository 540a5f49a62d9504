// Text to ids a word at a time, each word looked up before it is merged: most words of a text were seen
// before. Exactly what the tokenizer gives for the whole text, because byte-pair merges never cross the
// places where it is cut: the borders of the pre-tokenizer, or, for SentencePiece, a space that no token of
// the vocabulary has after another character. Tokenizers cut in other ways have no word encoder.
import type { Tokenizer } from '@huggingface/tokenizers';

type JsonObject = Record<string, unknown>;

/** Ids of text in which no added token stands. */
export type WordEncoder = (text: string) => number[];

/** About 20 MB of words at most; then the cache begins anew. */
const maxCachedWords = 1 << 16;
/** Longer words are texts without spaces: they do not come again. */
const maxCachedLength = 64;

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** GPT-2's printable stand-ins for the 256 bytes (openai/gpt-2, encoder.py, bytes_to_unicode). */
const byteCharacters: readonly string[] = (() => {
  const isPrintable = (byte: number) =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCharCode(isPrintable(byte) ? byte : next++),
  );
})();

const utf8 = new TextEncoder();
const toByteCharacters = (word: string): string => {
  let text = '';
  for (const byte of utf8.encode(word)) text += byteCharacters[byte] ?? '';
  return text;
};

type Cut = (text: string) => string[];

/** Cuts by each pattern in turn; the last one is expected to cover all text. */
function cutByPatterns(patterns: readonly RegExp[]): Cut {
  const capturing = patterns.map(({ source }) => new RegExp(`(${source})`, 'u'));
  const last = patterns.at(-1);
  const lastCapturing = capturing.at(-1);
  return (text) => {
    let parts = [text];
    for (const pattern of capturing.slice(0, -1)) {
      parts = parts.flatMap((part) => (pattern.test(part) ? part.split(pattern) : [part]));
    }
    return parts.flatMap((part) => {
      if (part === '' || !last || !lastCapturing) return [];
      const words = part.match(last) ?? [];
      const covered = words.reduce((sum, word) => sum + word.length, 0) === part.length;
      return covered ? words : part.split(lastCapturing).filter((word) => word !== '');
    });
  };
}

/** `\s` of these patterns is White_Space, which JavaScript's is not quite. */
const compile = (pattern: string): RegExp =>
  new RegExp(
    pattern.replaceAll('\\s', '\\p{White_Space}').replaceAll('\\S', '\\P{White_Space}'),
    'gu',
  );

const isPlainSplit = (step: unknown): step is { pattern: { Regex: string } } =>
  isObject(step) &&
  step['type'] === 'Split' &&
  step['behavior'] === 'Isolated' &&
  step['invert'] === false &&
  isObject(step['pattern']) &&
  typeof step['pattern']['Regex'] === 'string' &&
  // Pairs of patterns with captures would come out of `split` twice.
  !/(^|[^\\])\((?!\?)/.test(step['pattern']['Regex']);

/** Splits and then the bytes of each word: what tokenizer-from-gguf.ts writes. Null for other cuts. */
function byteLevelCut(preTokenizer: unknown): Cut | null {
  const steps = isObject(preTokenizer) ? preTokenizer['pretokenizers'] : null;
  if (!Array.isArray(steps) || steps.length < 2) return null;
  const bytes: unknown = steps.at(-1);
  if (!isObject(bytes) || bytes['type'] !== 'ByteLevel') return null;
  if (bytes['use_regex'] !== false || bytes['add_prefix_space'] !== false) return null;
  const splits: unknown[] = steps.slice(0, -1);
  if (!splits.every(isPlainSplit)) return null;
  return cutByPatterns(splits.map(({ pattern }) => compile(pattern.Regex)));
}

const space = '▁';
const beforeSpace = /(?<=[^▁])(?=▁)/u;

/** Only the replacement of spaces, and a vocabulary in which spaces stand at the beginning of tokens. */
function sentencePieceCut(json: JsonObject, vocabulary: readonly string[]): Cut | null {
  if (json['pre_tokenizer'] !== null && json['pre_tokenizer'] !== undefined) return null;
  const normalizers = isObject(json['normalizer']) ? json['normalizer']['normalizers'] : null;
  const only: unknown = Array.isArray(normalizers) && normalizers.length === 1 ? normalizers[0] : 0;
  if (!isObject(only) || only['type'] !== 'Replace' || only['content'] !== space) return null;
  if (!isObject(only['pattern']) || only['pattern']['String'] !== ' ') return null;
  if (vocabulary.some((token) => beforeSpace.test(token))) return null;
  return (text) => text.replaceAll(' ', space).split(beforeSpace);
}

/**
 * The word encoder of a tokenizer made from `json`, in which no added token is special; null when its text
 * cannot be cut so.
 */
export function createWordEncoder(json: JsonObject, inner: Tokenizer): WordEncoder | null {
  const { model } = inner;
  const definition = json['model'];
  if (!model || !isObject(definition) || definition['type'] !== 'BPE') return null;
  // A word of a merge with suffixes or dropout is not the word alone.
  if (definition['continuing_subword_prefix'] || definition['end_of_word_suffix']) return null;
  const bytes = json['normalizer'] === null ? byteLevelCut(json['pre_tokenizer']) : null;
  const cut = bytes ?? sentencePieceCut(json, Object.keys(definition['vocab'] ?? {}));
  if (cut === null) return null;
  const idsOf = (word: string): number[] =>
    model
      .encode([bytes ? toByteCharacters(word) : word])
      .flatMap((token: string) => model.tokens_to_ids.get(token) ?? model.unk_token_id ?? []);
  let cache = new Map<string, number[]>();
  return (text) => {
    const ids: number[] = [];
    for (const word of cut(text)) {
      let found = cache.get(word);
      if (!found) {
        found = idsOf(word);
        if (cache.size >= maxCachedWords) cache = new Map();
        if (word.length <= maxCachedLength) cache.set(word, found);
      }
      for (const id of found) ids.push(id);
    }
    return ids;
  };
}
