// The order of rows: what llama.cpp does by example (checked against the library by the self-test of stacks),
// and what must hold for every batch.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { splitRows } from './ubatch-rows.ts';

/** A batch from "sequence" or "sequence!" (its logits are wanted). */
const batchOf = (text: string) => {
  const tokens = text.split(' ').map((token) => ({
    sequence: Number.parseInt(token, 10),
    output: token.endsWith('!') ? 1 : 0,
  }));
  return {
    size: tokens.length,
    sequence: tokens.map(({ sequence }) => sequence),
    output: tokens.map(({ output }) => output),
  };
};
const rows = (text: string, ubatchTokens: number, unified = false): string[] =>
  splitRows(batchOf(text), { ubatchTokens, unified }).map(
    ({ tokens, outputs }) => `${tokens.join(' ')} | ${outputs.join(' ')}`,
  );

describe('splitRows', () => {
  it('keeps the order of a batch whose sequences share a cache', () => {
    expect(rows('3! 0 0! 7!', 3, true)).toEqual(['3 0 0 | 3 0', '7 | 7']);
  });

  it('takes equally much of sequences whose ids rise by one, one sequence after the other', () => {
    expect(rows('0 0! 1! 2 2 2!', 8)).toEqual(['0 1 2 | 1', '0 | 0', '2 2 | 2']);
    expect(rows('0 1 0! 1!', 8)).toEqual(['0 0 1 1 | 0 1']);
  });

  it('begins a new ubatch where an id is left out or falls', () => {
    expect(rows('0! 1! 3! 4!', 8)).toEqual(['0 1 | 0 1', '3 4 | 3 4']);
    expect(rows('1! 0!', 8)).toEqual(['1 | 1', '0 | 0']);
  });

  it('cuts at the size of a ubatch', () => {
    expect(rows('0 0 0 0 0!', 2)).toEqual(['0 0 | ', '0 0 | ', '0 | 0']);
    expect(rows('0 0 1 1', 3)).toEqual(['0 1 | ', '0 1 | ']);
  });

  it('computes every token once, and the tokens of a sequence in their order', () => {
    const token = fc.tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 1 }));
    fc.assert(
      fc.property(
        fc.array(token, { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 1, max: 70 }),
        fc.boolean(),
        (tokens, ubatchTokens, unified) => {
          const sequence = tokens.map(([id]) => id);
          const output = tokens.map(([, wanted]) => wanted);
          const ubatches = splitRows(
            { size: tokens.length, sequence, output },
            { ubatchTokens, unified },
          );
          const sorted = (list: readonly number[]): number[] => list.toSorted((a, b) => a - b);
          expect(sorted(ubatches.flatMap((ubatch) => ubatch.tokens))).toEqual(sorted(sequence));
          expect(sorted(ubatches.flatMap((ubatch) => ubatch.outputs))).toEqual(
            sorted(sequence.filter((_, i) => output[i] === 1)),
          );
        },
      ),
    );
  });
});
