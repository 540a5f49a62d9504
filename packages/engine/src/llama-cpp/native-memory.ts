// Keys and values of sequences between decodes: cut, copied, saved, put back. Sequences with a cache each
// are copied through their saved state, sequences of a shared cache by marking cells. Knows no tokens.
import { openLlama, type Address } from './functions.ts';
import type { SequenceMemory } from './native-types.ts';

export interface MemoryOptions {
  readonly context: Address;
  readonly model: Address;
  readonly sharedTokens: number | null;
}

export function createSequenceMemory(options: MemoryOptions): SequenceMemory {
  const { context, model, sharedTokens } = options;
  const llama = openLlama();
  const memory = llama.memory(context);
  let scratch = new Uint8Array(0);

  const truncate = (sequence: number, position: number): void => {
    llama.removeSequence(memory, sequence, position, -1);
  };
  const restore = (sequence: number, state: Uint8Array): boolean => {
    if (Number(llama.setState(context, state, state.length, sequence)) === state.length)
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
