// What shares a decode: single tokens of many adapters do, long prompts of different adapters do not.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { groupShares, type AdapterShare } from './adapter-groups.ts';

const largest = 512;
/** About those of a 135M model: a rank costs 1/330 of the base, a change as much as two tokens. */
const costs = {
  rank: 0.003,
  change: 2,
  stackSize: (ranks: number) => {
    const size = 2 ** Math.ceil(Math.log2(ranks));
    return size <= largest ? size : Number.POSITIVE_INFINITY;
  },
};
const sizes = (shares: readonly AdapterShare[]): number[] =>
  groupShares(shares, costs).map((group) => group.length);
const many = (count: number, tokens: number, ranks = 16): AdapterShare[] =>
  Array.from({ length: count }, () => ({ tokens, ranks }));

describe('groupShares', () => {
  it('decodes streams of eight adapters at once, and of thirty-two in halves at most', () => {
    expect(sizes(many(8, 1))).toEqual([8]);
    expect(sizes(many(8, 4))).toEqual([8]);
    expect(sizes(many(32, 1)).length).toBeLessThanOrEqual(2);
  });

  it('reads long prompts of different adapters apart, beside a batch of streams', () => {
    expect(sizes([...many(8, 1), ...many(2, 256)])).toEqual([8, 1, 1]);
  });

  it('keeps within the largest stack', () => {
    for (const size of sizes(many(80, 1))) expect(size).toBeLessThanOrEqual(32);
  });

  it('reads a long prompt of the base alone without a stack', () => {
    expect(sizes([...many(8, 1), { tokens: 500, ranks: 0 }])).toEqual([8, 1]);
  });

  it('puts every share into one group', () => {
    const share = fc.record({
      tokens: fc.integer({ min: 1, max: 512 }),
      ranks: fc.integer({ min: 0, max: 64 }),
    });
    fc.assert(
      fc.property(fc.array(share, { maxLength: 40 }), (shares) => {
        const groups = groupShares(shares, costs);
        expect(new Set(groups.flat())).toEqual(new Set(shares));
        for (const group of groups)
          expect(group.reduce((sum, { ranks }) => sum + ranks, 0)).toBeLessThanOrEqual(largest);
      }),
    );
  });
});
