// A grammar over the tokens of one generation: which may come next, and when the text may or must end.
// Tokens that end a turn are allowed where the text may end, and nowhere else.
import { CorralError } from '@corral/contracts';
import { GrammarError } from './grammar-network.ts';
import type { ByteState } from './grammar.ts';
import { advanceBytes, maskHas, type TokenMask, type VocabularyIndex } from './vocabulary-index.ts';

export interface TokenConstraint {
  allows(token: number): boolean;
  /** Every token that `allows` allows. */
  mask(): TokenMask;
  /** Goes on behind a token that is allowed. */
  accept(token: number): void;
  /** Nothing may follow but the end. */
  readonly complete: boolean;
}

/** The grammar was checked when it was made; what is left is a text that can be read in too many ways. */
function guarded<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof GrammarError)) throw error;
    const reason = `the schema is too ambiguous: ${error.message}`;
    throw new CorralError('invalid_request', { params: { reason }, cause: error });
  }
}

export function createTokenConstraint(
  start: ByteState,
  index: VocabularyIndex,
  endOfGeneration: ReadonlySet<number>,
): TokenConstraint {
  let state = start;

  function after(token: number): ByteState | null {
    if (endOfGeneration.has(token)) return state.accepting ? state : null;
    const bytes = index.bytes(token);
    if (bytes.length === 0) return state.free ? state : null;
    return guarded(() => advanceBytes(state, bytes));
  }

  return {
    allows: (token) => after(token) !== null,
    mask: () => {
      const mask = guarded(() => index.mask(state)).slice();
      for (const token of endOfGeneration) {
        const [word, bit] = [token >>> 5, 1 << (token & 31)];
        if (state.accepting !== maskHas(mask, token)) mask[word] = (mask[word] as number) ^ bit;
      }
      return mask;
    },
    accept: (token) => {
      const next = after(token);
      // A defect, not bad input: who samples asks first.
      if (!next) throw new Error(`token ${token} does not follow`);
      state = next;
    },
    get complete() {
      return state.final;
    },
  };
}
