// Keys and values of sequences between decodes: cut, copied, saved, put back. Sequences with a cache each
// are copied through their saved state, sequences of a shared cache by marking cells. Knows no tokens.
import { openLlama, type Address } from './functions.ts';
import type { SequenceMemory } from './native-types.ts';
import { cachesOf, emptyStateBytes, withCaches } from './sequence-state.ts';

export interface MemoryOptions {
  readonly context: Address;
  readonly model: Address;
  readonly sharedTokens: number | null;
  readonly sequences: number;
}

/** To be called while the context is empty. */
export function createSequenceMemory(options: MemoryOptions): SequenceMemory {
  const { context, model, sharedTokens } = options;
  const llama = openLlama();
  const memory = llama.memory(context);
  const caches = sharedTokens === null ? options.sequences : 1;
  const isPlain = Number(llama.stateBytes(context, 0)) === emptyStateBytes(caches);
  let scratch = new Uint8Array(0);

  const truncate = (sequence: number, position: number): void => {
    llama.removeSequence(memory, sequence, position, -1);
  };
  const restore = (sequence: number, saved: Uint8Array): boolean => {
    const other = isPlain && cachesOf(saved) !== caches;
    const state = other ? withCaches(saved, caches) : saved;
    if (state && Number(llama.setState(context, state, state.length, sequence)) === state.length)
      return true;
    truncate(sequence, 0);
    return false;
  };
  /** Saves into a buffer that is kept: fresh memory costs more than the copy. */
  const saveToScratch = (sequence: number): Uint8Array => {
    const size = Number(llama.stateBytes(context, sequence));
    if (scratch.length < size) scratch = new Uint8Array(Math.ceil(size * 1.5));
    return scratch.subarray(0, Number(llama.getState(context, scratch, size, sequence)));
  };
  return {
    sharedTokens,
    partial: !llama.isRecurrent(model) && !llama.isHybrid(model),
    portable: isPlain,
    truncate,
    copy: (from, to, length) => {
      if (sharedTokens !== null) {
        llama.copySequence(memory, from, to, 0, length);
        return true;
      }
      if (!restore(to, saveToScratch(from))) return false;
      truncate(to, length);
      return true;
    },
    save: (sequence) => {
      const state = new Uint8Array(Number(llama.stateBytes(context, sequence)));
      const written = Number(llama.getState(context, state, state.length, sequence));
      return state.subarray(0, written);
    },
    restore,
  };
}
