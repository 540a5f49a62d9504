// A range of code points as ranges of UTF-8 bytes, so that a grammar can be followed byte by byte: tokens
// may end inside a character. The method is that of Russ Cox's RE2 (utf8 ranges by splitting at the
// borders where the number of bytes or a leading byte changes).
import type { CodeRange } from './expression.ts';

/** One range for each byte. */
export type ByteRange = readonly [first: number, last: number];

const lastOfLength = [0x7f, 0x7ff, 0xffff, 0x10ffff] as const;

const encode = (codePoint: number): Uint8Array =>
  new TextEncoder().encode(String.fromCodePoint(codePoint));

/** Splits so that in each part the bytes vary independently: a product of byte ranges. */
function split(first: number, last: number): CodeRange[] {
  for (const limit of lastOfLength)
    if (first <= limit && last > limit) return [...split(first, limit), ...split(limit + 1, last)];
  if (last <= 0x7f) return [[first, last]];
  for (let bits = 6; bits <= 18; bits += 6) {
    const mask = (1 << bits) - 1;
    if ((first & ~mask) === (last & ~mask)) continue;
    if ((first & mask) !== 0) {
      const border = first | mask;
      return [...split(first, border), ...split(border + 1, last)];
    }
    if ((last & mask) !== mask) {
      const border = last & ~mask;
      return [...split(first, border - 1), ...split(border, last)];
    }
  }
  return [[first, last]];
}

/** Sequences of byte ranges that together match exactly the characters of the range (no surrogates in it). */
export function utf8Sequences([first, last]: CodeRange): ByteRange[][] {
  return split(first, last).map(([low, high]) => {
    const highBytes = encode(high);
    return Array.from(encode(low), (byte, i): ByteRange => [byte, highBytes[i] ?? byte]);
  });
}
