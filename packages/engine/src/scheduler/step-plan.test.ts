// What one step feeds: within the budget, nobody starved, streams first.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Slot } from './sequence-task.ts';
import { planStep } from './step-plan.ts';

/** A slot with `pending` tokens of which those from `wanted` on need logits. */
function slot(sequence: number, pending: number, wanted = pending - 1): Slot {
  return {
    sequence,
    fed: 0,
    answered: 0,
    task: {
      id: String(sequence),
      tenant: 't',
      adapter: null,
      tokens: Array.from({ length: pending }, () => 0),
      finished: false,
      wantsLogits: (position) => position >= wanted,
      acceptLogits: () => {},
      cancel: () => {},
      fail: () => {},
    },
  };
}

const plan = (slots: Slot[], tokens: number, outputs = 64): [sequence: number, count: number][] =>
  planStep(slots, { tokens, outputs }).map((feed) => [feed.slot.sequence, feed.count]);

describe('planStep', () => {
  it('feeds every generating sequence before prompts share the rest', () => {
    expect(plan([slot(0, 100), slot(1, 1), slot(2, 1)], 32)).toEqual([
      [1, 1],
      [2, 1],
      [0, 30],
    ]);
  });

  it('serves a short prompt whole beside a long one', () => {
    expect(plan([slot(0, 1000), slot(1, 10)], 64)).toEqual([
      [1, 10],
      [0, 54],
    ]);
  });

  it('shares evenly between long prompts', () => {
    expect(plan([slot(0, 1000), slot(1, 1000)], 64).map(([, count]) => count)).toEqual([32, 32]);
  });

  it('cuts a task that wants many rows where the rows run out', () => {
    expect(plan([slot(0, 1), slot(1, 50, 20)], 512, 11)).toEqual([
      [0, 1],
      [1, 30],
    ]);
  });

  it('keeps within the budget and makes progress whatever waits', () => {
    const waiting = fc.array(
      fc.tuple(fc.integer({ min: 0, max: 600 }), fc.integer({ min: 0, max: 600 })),
      { maxLength: 16 },
    );
    const tokens = fc.integer({ min: 16, max: 512 });
    const outputs = fc.integer({ min: 16, max: 64 });
    fc.assert(
      fc.property(waiting, tokens, outputs, (sizes, tokenBudget, outputBudget) => {
        const slots = sizes.map(([pending, wanted], i) => slot(i, pending, wanted));
        const feeds = planStep(slots, { tokens: tokenBudget, outputs: outputBudget });
        const rows = feeds.reduce((sum, { slot: { task }, count }) => {
          const wanted = Array.from({ length: count }, (_, i) => task.wantsLogits(i));
          return sum + wanted.filter(Boolean).length;
        }, 0);
        expect(feeds.reduce((sum, { count }) => sum + count, 0)).toBeLessThanOrEqual(tokenBudget);
        expect(rows).toBeLessThanOrEqual(outputBudget);
        expect(feeds.every(({ slot: { task }, count }) => count <= task.tokens.length)).toBe(true);
        expect(feeds.length > 0).toBe(slots.some(({ task }) => task.tokens.length > 0));
      }),
    );
  });
});
