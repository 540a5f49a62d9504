// Which prompts are embedded side by side: what a prompt's pieces are must follow from its own length alone.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nextGroup, nextPiece, type PromptGroup, type PromptLength } from './prompt-groups.ts';

const waiting = (lengths: readonly number[]): PromptLength[] =>
  lengths.map((tokens, prompt) => ({ prompt, tokens })).toSorted((a, b) => a.tokens - b.tokens);
const limits = { sequences: 8, tokens: 256 };

function piecesOf(group: PromptGroup, tokens: number): number[] {
  const pieces: number[] = [];
  for (let fed = 0; fed < group.length; fed += pieces.at(-1) ?? 0)
    pieces.push(nextPiece(group, fed, tokens));
  return pieces;
}

describe('a group', () => {
  it('is of prompts with as many large pieces, filled up to the longest', () => {
    const lengths = waiting([30, 10, 70, 64, 20]);
    expect(nextGroup(lengths, limits)).toEqual({ prompts: [1, 4, 0], large: 0, length: 30 });
    expect(nextGroup(lengths.slice(3), limits)).toEqual({
      prompts: [3, 2],
      large: 64,
      length: 70,
    });
  });

  it('never ends in a single token', () => {
    expect(nextGroup(waiting([1]), limits)).toMatchObject({ length: 2 });
    expect(nextGroup(waiting([65]), limits)).toMatchObject({ large: 64, length: 66 });
    expect(nextGroup(waiting([128]), limits)).toMatchObject({ large: 128, length: 128 });
  });

  it('takes what fits, and always one', () => {
    expect(nextGroup(waiting([60, 60, 60, 60, 60]), limits).prompts).toHaveLength(4);
    expect(nextGroup(waiting([90, 90]), { sequences: 8, tokens: 64 }).prompts).toHaveLength(1);
    expect(nextGroup(waiting([1, 1, 1]), { sequences: 2, tokens: 64 }).prompts).toHaveLength(2);
  });

  it('reads a long prompt in large pieces of as many tokens as a step takes', () => {
    const group = nextGroup(waiting([400]), limits);
    expect(piecesOf(group, 256)).toEqual([256, 128, 16]);
    expect(piecesOf(group, 64)).toEqual([64, 64, 64, 64, 64, 64, 16]);
    expect(piecesOf(group, 10)).toEqual([64, 64, 64, 64, 64, 64, 16]);
  });
});

it('computes a token in a large piece or in a small one by the length of its prompt alone', () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 600 }), { minLength: 1, maxLength: 20 });
  const most = fc.record({
    sequences: fc.integer({ min: 1, max: 8 }),
    tokens: fc.integer({ min: 1, max: 256 }),
  });
  fc.assert(
    fc.property(sizes, most, (lengths, limit) => {
      const left = waiting(lengths);
      const seen: number[] = [];
      while (left.length > 0) {
        const group = nextGroup(left, limit);
        left.splice(0, group.prompts.length);
        seen.push(...group.prompts);
        let fed = 0;
        for (const piece of piecesOf(group, limit.tokens)) {
          expect(piece).toBeGreaterThan(1);
          for (const prompt of group.prompts) {
            const tokens = lengths[prompt] ?? 0;
            expect(fed < tokens - (tokens % 64) === piece >= 64).toBe(true);
          }
          fed += piece;
        }
        for (const prompt of group.prompts)
          expect(fed).toBeGreaterThanOrEqual(lengths[prompt] ?? 0);
      }
      expect(seen.toSorted((a, b) => a - b)).toEqual(lengths.map((_, i) => i));
    }),
  );
});
