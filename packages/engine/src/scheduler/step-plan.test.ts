// What one step feeds: within the limits, streams and short prompts first, nobody starved.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cutOf, largePiece, smallestBatch } from './prompt-cut.ts';
import { createStepCosts } from './step-costs.ts';
import { createStepPlanner, type PlanLimits, type PlannedSlot } from './step-plan.ts';

interface Changes {
  readonly fed?: number;
  readonly waiting?: boolean;
  /** First position whose logits are wanted. */
  readonly wanted?: number;
}

/** A slot with a prompt of `length` tokens. */
function prompt(sequence: number, length: number, changes: Changes = {}): PlannedSlot {
  const { fed = 0, waiting = false, wanted = length - 1 } = changes;
  return {
    sequence,
    fed,
    answered: 0,
    cut: cutOf(length),
    promptLength: length,
    promptTokens: length,
    since: 0,
    waiting,
    task: {
      id: String(sequence),
      tenant: 't',
      adapter: null,
      tokens: Array.from({ length }, () => 0),
      finished: false,
      wantsLogits: (position) => position >= wanted,
      acceptLogits: () => {},
      cancel: () => {},
      fail: () => {},
    },
  };
}

/** A slot that generates. */
function stream(sequence: number): PlannedSlot {
  const slot = prompt(sequence, 10, { fed: 9, wanted: 0 });
  return { ...slot, promptLength: 9 };
}

const costsOf = (msPerToken: number) => {
  const costs = createStepCosts();
  for (let tokens = 1; tokens <= 512; tokens *= 2) costs.record(tokens, tokens * msPerToken);
  return costs;
};

const planner = (limits: Partial<PlanLimits> = {}, msPerToken = 1) =>
  createStepPlanner({
    limits: { tokens: 512, outputs: 64, ...limits },
    costs: costsOf(msPerToken),
  });

type Planner = ReturnType<typeof planner>;

/** [sequence, tokens] of the next step. */
const next = (plan: Planner, slots: PlannedSlot[]): [number, number][] =>
  plan.next(slots).map(({ slot, count }) => [slot.sequence, count]);

/** Runs steps to the end of all prompts; the steps as [sequence, tokens]. */
function drain(plan: Planner, slots: PlannedSlot[], most = 500): [number, number][][] {
  const steps: [number, number][][] = [];
  while (slots.some((slot) => slot.promptLength > slot.fed) && steps.length < most) {
    const feeds = plan.next(slots);
    steps.push(feeds.map(({ slot, count }) => [slot.sequence, count]));
    for (const { slot, count } of feeds)
      if (slot.fed < (slot as PlannedSlot).promptLength) slot.fed += count;
  }
  return steps;
}

describe('a step', () => {
  it('feeds every stream its token, in order of the sequences', () => {
    expect(next(planner(), [stream(2), stream(0), stream(1)])).toEqual([
      [0, 1],
      [1, 1],
      [2, 1],
    ]);
  });

  it('serves a short prompt whole before a long one', () => {
    const steps = drain(planner(), [prompt(0, 1000), prompt(1, 50)]);
    expect(steps[0]).toEqual([[1, 50]]);
  });

  it('feeds the first parts of prompts in equal pieces of at least 64 tokens', () => {
    const steps = drain(planner(), [prompt(0, 200), prompt(1, 300), prompt(2, 64 * 4 + 1)]);
    const large = steps.filter((feeds) => feeds.some(([, count]) => count >= 64));
    expect(large.length).toBeGreaterThan(0);
    for (const feeds of large) expect(new Set(feeds.map(([, count]) => count)).size).toBe(1);
  });

  it('gives prompts that are nearly read their first token before it reads others', () => {
    const read = [0, 1].map((i) => prompt(i, 64, { fed: 63 }));
    const others = [2, 3].map((i) => prompt(i, 63));
    const steps = drain(planner(), [...read, prompt(4, 300), ...others]);
    expect(steps[0]).toEqual([
      [0, 1],
      [1, 1],
    ]);
    expect(steps[1]).toEqual([
      [2, 63],
      [3, 63],
    ]);
  });

  it('lets streams have their turn after some seconds of short prompts', () => {
    const plan = planner({}, 2);
    const slots = [stream(0), ...Array.from({ length: 8 }, (_, i) => prompt(i + 1, 450))];
    const steps = Array.from({ length: 5 }, () => next(plan, slots));
    for (const step of steps.slice(0, 3)) expect(step).toEqual([[1, 448]]);
    expect(steps[3]).toContainEqual([0, 1]);
    expect(steps[4]).toEqual([[1, 448]]);
  });

  it('reads half of the equal prompts that wait, then half of the others', () => {
    const steps = drain(
      planner(),
      [0, 1, 2, 3, 4, 5, 6].map((i) => prompt(i, 70)),
    );
    expect(steps.map((feeds) => feeds.length)).toEqual([4, 2, 1]);
  });

  it('does not cut off less than a large piece of one prompt to read it with another', () => {
    const steps = drain(planner(), [prompt(0, 70), prompt(1, 75), prompt(2, 75), prompt(3, 75)]);
    expect(steps.map((feeds) => feeds.map(([, count]) => count))).toEqual([[70], [75, 75], [75]]);
  });

  it('keeps a long prompt from stalling the streams', () => {
    const streams = Array.from({ length: 16 }, (_, i) => stream(i));
    const steps = drain(planner(), [...streams, prompt(16, 4000)]);
    const stepMs = steps.map((feeds) => feeds.reduce((sum, [, count]) => sum + count, 0));
    // Alone they take 16 ms.
    const sorted = stepMs.toSorted((a, b) => a - b);
    expect(sorted[Math.floor(sorted.length * 0.95)]).toBeLessThanOrEqual(3 * 16);
    expect(steps.length).toBeLessThan(200);
  });

  it('feeds a long prompt seldom where small pieces do not pay', () => {
    const steps = drain(planner(), [stream(0), prompt(1, 2000)]);
    const stalled = steps.filter((feeds) => feeds.every(([sequence]) => sequence === 1));
    expect(stalled.length).toBeLessThanOrEqual(steps.length / 20);
  });

  it('passes over those who wait for another', () => {
    expect(next(planner(), [prompt(0, 50), prompt(1, 50, { waiting: true })])).toEqual([[0, 50]]);
  });

  it('takes no more rows of logits than there are', () => {
    const slots = [stream(0), prompt(1, 50, { wanted: 0 })];
    expect(next(planner({ outputs: 11 }), slots)).toEqual([
      [0, 1],
      [1, 10],
    ]);
  });

  it('stays short on a slow model', () => {
    const steps = drain(planner({}, 30), [prompt(0, 2000)]);
    for (const feeds of steps)
      expect(feeds.reduce((sum, [, count]) => sum + count, 0)).toBeLessThanOrEqual(4000 / 30);
  });
});

it('feeds every token once, within the limits, whatever the prompts', () => {
  const slotSizes = fc.array(fc.tuple(fc.integer({ min: 1, max: 1500 }), fc.boolean()), {
    minLength: 1,
    maxLength: 12,
  });
  const limits = fc.record({ tokens: fc.integer({ min: 12, max: 512 }), outputs: fc.constant(64) });
  fc.assert(
    fc.property(slotSizes, limits, (sizes, limit) => {
      // As the scheduler does (scheduler.ts): a small batch has no large pieces.
      const cut = limit.tokens < smallestBatch ? { cut: 0 } : {};
      const slots = sizes.map(([length, streams], i) =>
        streams ? stream(i) : { ...prompt(i, length), ...cut },
      );
      const cuts = slots.map((slot) => slot.cut);
      const steps = drain(planner(limit), slots, 20_000);
      const fed = new Map<number, number>();
      for (const feeds of steps) {
        expect(feeds.length).toBeGreaterThan(0);
        expect(feeds.reduce((sum, [, count]) => sum + count, 0)).toBeLessThanOrEqual(limit.tokens);
        for (const [sequence, count] of feeds) {
          const from = fed.get(sequence) ?? 0;
          const isPrompt = sizes[sequence]?.[1] === false;
          // What lies before the cut comes in large pieces, what lies behind it in small ones.
          expect(!isPrompt || from < (cuts[sequence] ?? 0) === count >= largePiece).toBe(true);
          fed.set(sequence, from + count);
        }
      }
      const prompts = [...sizes.entries()].filter(([, [, streams]]) => !streams);
      expect(prompts.map(([i]) => fed.get(i))).toEqual(prompts.map(([, [length]]) => length));
    }),
    { numRuns: 60 },
  );
});
