// Trains a byte-level byte-pair vocabulary: the classic algorithm (Sennrich et al. 2016, arXiv 1508.07909)
// over words cut as llama.cpp's pre-tokenizer "smollm" cuts them. Deterministic: of equally frequent pairs
// the one that sorts first is joined.

/** Digits one by one, then GPT-2's words; the same cut as formats' pre-tokenizer "smollm". */
const digit = /\p{N}/gu;
const words = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/** GPT-2's alphabet: printable bytes are themselves, the others follow from U+0100 on. */
export const byteAlphabet: readonly string[] = (() => {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte !== 173);
    return String.fromCodePoint(printable ? byte : next++);
  });
})();

function cut(text: string): string[] {
  const pieces: string[] = [];
  let start = 0;
  for (const match of text.matchAll(digit)) {
    pieces.push(text.slice(start, match.index), match[0]);
    start = match.index + match[0].length;
  }
  pieces.push(text.slice(start));
  return pieces.flatMap((piece) => piece.match(words) ?? []);
}

interface Word {
  symbols: string[];
  readonly count: number;
}

function countWords(text: string): Word[] {
  const counts = new Map<string, number>();
  for (const word of cut(text)) counts.set(word, (counts.get(word) ?? 0) + 1);
  const encoder = new TextEncoder();
  return [...counts].map(([word, count]) => ({
    symbols: Array.from(encoder.encode(word), (byte) => byteAlphabet[byte] ?? ''),
    count,
  }));
}

/** How often each pair ("left right") stands in the text, and in which words. */
class PairIndex {
  readonly #counts = new Map<string, number>();
  readonly #words = new Map<string, Set<Word>>();

  /** Adds a word's pairs, or takes them away with `sign` −1. */
  add(word: Word, sign: 1 | -1): void {
    for (let i = 1; i < word.symbols.length; i++) {
      const pair = `${word.symbols[i - 1]} ${word.symbols[i]}`;
      const count = (this.#counts.get(pair) ?? 0) + sign * word.count;
      if (count === 0) this.#counts.delete(pair);
      else this.#counts.set(pair, count);
      const words = this.#words.get(pair) ?? new Set();
      words.add(word);
      this.#words.set(pair, words);
    }
  }

  wordsWith(pair: string): Word[] {
    return [...(this.#words.get(pair) ?? [])];
  }

  /** The most frequent pair; undefined when none stands twice. */
  best(): string | undefined {
    let best: string | undefined;
    let most = 1;
    for (const [pair, count] of this.#counts) {
      if (count < most || (count === most && (best === undefined || pair > best))) continue;
      best = pair;
      most = count;
    }
    return most < 2 ? undefined : best;
  }
}

function join(word: Word, left: string, right: string): void {
  const { symbols } = word;
  const joined: string[] = [];
  for (let i = 0; i < symbols.length; i++) {
    if (symbols[i] === left && symbols[i + 1] === right) {
      joined.push(left + right);
      i++;
    } else {
      joined.push(symbols[i] ?? '');
    }
  }
  word.symbols = joined;
}

/** Up to `count` merges as "left right", best first. */
export function trainMerges(text: string, count: number): string[] {
  const pairs = new PairIndex();
  for (const word of countWords(text)) pairs.add(word, 1);
  const merges: string[] = [];
  while (merges.length < count) {
    const pair = pairs.best();
    if (pair === undefined) break;
    const [left = '', right = ''] = pair.split(' ');
    for (const word of pairs.wordsWith(pair)) {
      pairs.add(word, -1);
      join(word, left, right);
      pairs.add(word, 1);
    }
    merges.push(pair);
  }
  return merges;
}
