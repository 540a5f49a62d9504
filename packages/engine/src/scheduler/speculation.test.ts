// Guesses by looking back: right where text repeats, fed only where experience and costs say that it pays.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { follow, lookUp } from './look-up.ts';
import { createRandom } from '../sampling/random.ts';
import { createFakeTask } from './scheduler.fake.ts';
import { createSpeculation } from './speculation.ts';
import { createStepCosts } from './step-costs.ts';
import type { PlannedSlot } from './step-plan.ts';

describe('look-up', () => {
  it('finds what followed the longest match, the latest of equal ones', () => {
    const tokens = [1, 2, 3, 10, 9, 2, 3, 11, 9, 2, 3, 12, 8, 9, 2, 3];
    const found = lookUp(tokens);
    expect(found).toEqual({ from: 11, matched: 3 });
    expect(follow(tokens, { from: 11, matched: 3 }, 3)).toEqual([12, 8, 9]);
  });

  it('finds nothing where nothing repeats', () => {
    expect(lookUp([1, 2, 3, 4, 5])).toBeNull();
    expect(lookUp([1])).toBeNull();
    expect(lookUp([])).toBeNull();
  });

  it('goes on with a period beyond what is there', () => {
    const tokens = [1, 2, 1, 2, 1, 2];
    const found = lookUp(tokens);
    expect(found && follow(tokens, found, 5)).toEqual([1, 2, 1, 2, 1]);
  });

  it('matches what it says it matches', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(3), { maxLength: 60 }), (tokens) => {
        const found = lookUp(tokens);
        fc.pre(found !== null);
        const { from, matched } = found;
        expect(tokens.slice(from - matched, from)).toEqual(tokens.slice(-matched));
        expect(from).toBeLessThan(tokens.length);
      }),
    );
  });
});

/** Milliseconds of decodes by size; a stream that has said `tokens`. */
function setUp(costs: Record<number, number>) {
  const known = createStepCosts();
  for (const [tokens, ms] of Object.entries(costs)) known.record(Number(tokens), ms);
  const speculation = createSpeculation(known, false);
  const task = createFakeTask({ id: 's', prompt: [1, 2], count: 1000 });
  const slot = { task, sequence: 0, fed: 1, answered: 1 } as unknown as PlannedSlot;
  const say = (tokens: number[]): number[] => {
    let last: readonly number[] = [];
    for (const token of tokens) {
      last = speculation.draft([slot])?.get(slot) ?? [];
      task.tokens.push(token);
    }
    return [...last];
  };
  return { say, speculation, slot };
}

const cheap = { 1: 10, 2: 11, 4: 12, 8: 14, 16: 20 };
const usual = { 1: 10, 2: 15, 4: 20, 8: 30, 16: 50 };
const dear = { 1: 10, 2: 20, 4: 40, 8: 80, 16: 160 };
const repeated = Array.from({ length: 60 }, (_, i) => i % 12);
const draw = createRandom(3);
const random = Array.from({ length: 200 }, () => Math.floor(draw() * 6));

describe('a stream', () => {
  it('that repeats itself is guessed far ahead', () => {
    expect(setUp(cheap).say(repeated).length).toBeGreaterThan(7);
  });

  it('whose guesses are mostly wrong is left alone', () => {
    expect(setUp(usual).say(random)).toEqual([]);
  });

  it('is left alone where more tokens cost as much more', () => {
    expect(setUp(dear).say(repeated)).toEqual([]);
  });

  it('is left alone beside others', () => {
    const { speculation, slot, say } = setUp(cheap);
    say(repeated);
    const other = { ...slot, task: createFakeTask({ id: 'o', prompt: [5], count: 10 }) };
    expect(speculation.draft([slot, other])).toBeNull();
  });
});
