// What matching needs to know of a character besides its code point, as bits: its script (to tell a
// disguised word from a foreign one), whether words go on through it, whether its script has no spaces.

export const flag = {
  latin: 1,
  cyrillic: 2,
  greek: 4,
  armenian: 8,
  /** A Latin letter that only imitates another, such as U+0251. */
  latinLookalike: 16,
  /** Letter, mark, number or underscore. */
  word: 64,
  /** A script written without spaces between words. */
  spaceless: 128,
  letter: 256,
} as const;
/** The bits that say in which script a letter is. */
export const scriptMask = 31;

const scripts: readonly (readonly [RegExp, number])[] = [
  [/\p{Script=Latin}/u, flag.latin],
  [/\p{Script=Cyrillic}/u, flag.cyrillic],
  [/\p{Script=Greek}/u, flag.greek],
  [/\p{Script=Armenian}/u, flag.armenian],
];
const wordPattern = /[\p{L}\p{M}\p{N}_]/u;
const letterPattern = /\p{L}/u;
const spacelessPattern =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;

function compute(code: number): number {
  const char = String.fromCodePoint(code);
  let flags = 0;
  if (wordPattern.test(char)) flags |= flag.word;
  if (letterPattern.test(char)) {
    flags |= flag.letter;
    if (spacelessPattern.test(char)) flags |= flag.spaceless;
    for (const [pattern, bit] of scripts) if (pattern.test(char)) flags |= bit;
  }
  return flags;
}

const ascii = Uint16Array.from({ length: 128 }, (_, code) => compute(code));
// Bounded: a text of many different characters must not grow the process.
const cache = new Map<number, number>();
const maxCached = 8_192;

/** The bits of one code point; `latinLookalike` is never set here. */
export function flagsOf(code: number): number {
  if (code < 128) return ascii[code] ?? 0;
  let flags = cache.get(code);
  if (flags === undefined) {
    if (cache.size >= maxCached) cache.clear();
    flags = compute(code);
    cache.set(code, flags);
  }
  return flags;
}
