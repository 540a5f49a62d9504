// Which tokens may follow a place in a text. Tokens are kept in the order of their bytes, so that a walk
// over all of them follows each common beginning once and leaves out everything behind one that may not
// follow. Knows the texts of tokens, nothing of logits.
import type { ByteState } from './grammar.ts';

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
}

/** The state behind `bytes`, null when they may not follow. */
export function advanceBytes(state: ByteState, bytes: Uint8Array): ByteState | null {
  let at: ByteState | null = state;
  for (let i = 0; i < bytes.length && at; i++) at = at.advance(bytes[i] as number);
  return at;
}

interface SortedTokens {
  /** Token ids in the order of their bytes; those without text are left out. */
  readonly tokens: Int32Array;
  /** Bytes a token has in common with the one before it. */
  readonly shared: Uint16Array;
  /** The longest token. */
  readonly longest: number;
}

function sortTokens(size: number, bytes: (token: number) => Uint8Array): SortedTokens {
  // As strings of bytes: comparing those is several times as fast as comparing arrays.
  const entries = Array.from({ length: size }, (_, token) => ({
    token,
    text: Buffer.from(bytes(token)).toString('latin1'),
  }))
    .filter(({ text }) => text !== '')
    .toSorted((a, b) => (a.text < b.text ? -1 : 1));
  const shared = new Uint16Array(entries.length);
  for (let i = 1; i < entries.length; i++) {
    const [a, b] = [entries[i - 1]?.text ?? '', entries[i]?.text ?? ''];
    let length = 0;
    while (length < a.length && a.charCodeAt(length) === b.charCodeAt(length)) length++;
    shared[i] = length;
  }
  return {
    tokens: Int32Array.from(entries, ({ token }) => token),
    shared,
    longest: entries.reduce((most, { text }) => Math.max(most, text.length), 0),
  };
}

/** `bytes` is asked once for each of `size` tokens, when the first mask is wanted. */
export function createVocabularyIndex(
  size: number,
  bytes: (token: number) => Uint8Array,
): VocabularyIndex {
  let sorted: SortedTokens | undefined;
  const masks = new Map<ByteState, TokenMask>();

  function allowWithoutText(mask: TokenMask): void {
    for (let token = 0; token < size; token++)
      if (bytes(token).length === 0)
        mask[token >>> 5] = (mask[token >>> 5] as number) | (1 << (token & 31));
  }

  function walk(state: ByteState): TokenMask {
    sorted ??= sortTokens(size, bytes);
    const { tokens, shared, longest } = sorted;
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
      const text = bytes(token);
      alive = Math.min(alive, common);
      dead = false;
      while (alive < text.length) {
        const next = (states[alive] as ByteState).advance(text[alive] as number);
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
