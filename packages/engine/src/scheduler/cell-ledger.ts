// Counts the cells of a cache that all sequences share, where a cell can belong to several of them: what
// llama.cpp does not tell until a decode finds no room. A decorator of the native memory; where sequences
// have a cache each it counts nothing and room is never short.
import type { SequenceMemory } from '../llama-cpp/native-types.ts';

export interface CountedMemory extends Omit<SequenceMemory, 'restore' | 'portable'> {
  /** Cells that no sequence holds; Infinity when sequences do not share. */
  readonly free: number;
  /** A decode will add `tokens` to the sequence. */
  grow(sequence: number, tokens: number): void;
  /** `length`: tokens that `state` holds. */
  restore(sequence: number, state: Uint8Array, length: number): boolean;
}

/** Cells by number; the numbers are the ledger's own, only their count is that of llama.cpp. */
function createLedger(total: number) {
  const holders = new Uint16Array(total);
  const unused = Array.from({ length: total }, (_, i) => total - 1 - i);
  const held = new Map<number, number[]>();
  const of = (sequence: number): number[] => held.get(sequence) ?? [];
  return {
    get free() {
      return unused.length;
    },
    grow: (sequence: number, tokens: number): void => {
      const cells = of(sequence);
      for (let i = 0; i < tokens; i++) {
        const cell = unused.pop();
        if (cell === undefined) throw new Error('more tokens than the cache has cells');
        holders[cell] = 1;
        cells.push(cell);
      }
      held.set(sequence, cells);
    },
    share: (from: number, to: number, length: number): void => {
      const cells = of(from).slice(0, length);
      for (const cell of cells) holders[cell] = (holders[cell] as number) + 1;
      held.set(to, cells);
    },
    cut: (sequence: number, length: number): void => {
      for (const cell of of(sequence).splice(length)) {
        const left = (holders[cell] as number) - 1;
        holders[cell] = left;
        if (left === 0) unused.push(cell);
      }
    },
  };
}

export function createCountedMemory(memory: SequenceMemory): CountedMemory {
  const { sharedTokens } = memory;
  const plain = {
    sharedTokens,
    partial: memory.partial,
    save: (sequence: number) => memory.save(sequence),
  };
  if (sharedTokens === null)
    return {
      ...plain,
      free: Infinity,
      grow: () => {},
      truncate: (sequence, position) => memory.truncate(sequence, position),
      copy: (from, to, length) => memory.copy(from, to, length),
      restore: (sequence, state) => memory.restore(sequence, state),
    };
  const ledger = createLedger(sharedTokens);
  return {
    ...plain,
    get free() {
      return ledger.free;
    },
    grow: ledger.grow,
    truncate: (sequence, position) => {
      memory.truncate(sequence, position);
      ledger.cut(sequence, position);
    },
    copy: (from, to, length) => {
      if (!memory.copy(from, to, length)) return false;
      ledger.share(from, to, length);
      return true;
    },
    restore: (sequence, state, length) => {
      if (ledger.free < length || !memory.restore(sequence, state)) return false;
      ledger.grow(sequence, length);
      return true;
    },
  };
}
