// Which tokens may follow a place in a text. Tokens are kept in the order of their bytes, so that a walk
// over all of them follows each common beginning once and leaves out everything behind one that may not
// follow. Knows the texts of tokens, nothing of logits.
import type { ByteState } from './grammar.ts';
import { TokenSorter } from './sorted-tokens.ts';

/** One bit a token, set when it is allowed; 32 tokens an entry. */
export type TokenMask = Uint32Array;

export const maskHas = (mask: TokenMask, token: number): boolean =>
  (((mask[token >>> 5] as number) >>> (token & 31)) & 1) === 1;

/** Masks kept, one for each of the places met last; 19 KiB each at 150,000 tokens. */
const maxMasks = 256;

export interface VocabularyIndex {
  /** Bytes a token adds to a text; none for control tokens. */
  bytes(token: number): Uint8Array;
  /** Tokens that may follow; those without text only where anything may. Cached by state. */
  mask(state: ByteState): TokenMask;
  /** Works ahead for about `ms`, so that the first mask comes at once; true when nothing is left. */
  prepare(ms: number): boolean;
}

/** The state behind `bytes`, null when they may not follow. */
export function advanceBytes(state: ByteState, bytes: Uint8Array): ByteState | null {
  let at: ByteState | null = state;
  for (let i = 0; i < bytes.length && at; i++) at = at.advance(bytes[i] as number);
  return at;
}

/** `bytes` is asked for each of `size` tokens, at the latest when the first mask is wanted. */
export function createVocabularyIndex(
  size: number,
  bytes: (token: number) => Uint8Array,
): VocabularyIndex {
  const sorter = new TokenSorter(size, bytes);
  const masks = new Map<ByteState, TokenMask>();

  function allowWithoutText(mask: TokenMask): void {
    for (let token = 0; token < size; token++)
      if (bytes(token).length === 0)
        mask[token >>> 5] = (mask[token >>> 5] as number) | (1 << (token & 31));
  }

  function walk(state: ByteState): TokenMask {
    const { tokens, shared, text, starts, longest } = sorter.finish();
    const mask = new Uint32Array((size + 31) >>> 5);
    if (state.free) allowWithoutText(mask);
    // states[d]: behind the first d bytes of the token at hand.
    const states: ByteState[] = Array.from({ length: longest + 1 }, () => state);
    // Bytes of the previous path that led somewhere.
    let alive = 0;
    let dead = false;
    for (let i = 0; i < tokens.length; i++) {
      const common = shared[i] as number;
      // It begins with the bytes that led nowhere.
      if (dead && common > alive) continue;
      const token = tokens[i] as number;
      const start = starts[i] as number;
      const length = (starts[i + 1] as number) - start;
      alive = Math.min(alive, common);
      dead = false;
      while (alive < length) {
        const next = (states[alive] as ByteState).advance(text[start + alive] as number);
        if (!next) {
          dead = true;
          break;
        }
        states[++alive] = next;
      }
      if (!dead) mask[token >>> 5] = (mask[token >>> 5] as number) | (1 << (token & 31));
    }
    return mask;
  }

  return {
    bytes,
    prepare: (ms) => sorter.work(ms),
    mask: (state) => {
      let mask = masks.get(state);
      if (mask) masks.delete(state);
      else mask = walk(state);
      // The end of the map is what was used last.
      masks.set(state, mask);
      const [oldest] = masks.keys();
      if (masks.size > maxMasks && oldest) masks.delete(oldest);
      return mask;
    },
  };
}
