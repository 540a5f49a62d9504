// Guesses by looking back: right where text repeats, fed only where experience and costs say that it pays.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { follow, lookUp } from './look-up.ts';
import { createRandom } from '../sampling/random.ts';
import { createFakeTask } from './scheduler.fake.ts';
import { createSpeculation } from './speculation.ts';
import { createRowCosts } from './row-costs.ts';
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
function setUp(ms: Record<number, number>, { apart = true, rows = 64 } = {}) {
  const costs = createRowCosts();
  for (let i = 0; i < 2; i++)
    for (const [tokens, each] of Object.entries(ms)) costs.record(Number(tokens), each);
  const speculation = createSpeculation({ costs, apart, rows });
  const streamOf = (id: string, count = 1000) => {
    const task = createFakeTask({ id, prompt: [1, 2], count });
    return { task, sequence: 0, fed: 1, answered: 1 } as unknown as PlannedSlot;
  };
  /** Guesses for each of the streams after all have said the tokens. */
  const sayAll = (slots: readonly PlannedSlot[], said: readonly (readonly number[])[]) => {
    let last: ReturnType<typeof speculation.draft> = null;
    for (const i of said[0]?.keys() ?? []) {
      last = speculation.draft(slots);
      for (const [j, { task }] of slots.entries())
        (task.tokens as number[]).push(said[j]?.[i] ?? 0);
    }
    return slots.map((slot) => last?.get(slot) ?? []);
  };
  const say = (tokens: number[]): readonly number[] => sayAll([streamOf('s')], [tokens])[0] ?? [];
  return { say, sayAll, streamOf };
}

const cheap = { 1: 10, 2: 11, 4: 12, 8: 14, 16: 20 };
const usual = { 1: 10, 2: 15, 4: 20, 8: 30, 16: 50 };
const dear = { 1: 10, 2: 20, 4: 40, 8: 80, 12: 120, 16: 160 };
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
});

describe('streams', () => {
  const other = repeated.map((token) => token + 20);

  it('with caches apart get equally many guesses, be they found or not', () => {
    const { sayAll, streamOf } = setUp(cheap);
    const slots = [streamOf('a'), streamOf('b'), streamOf('c')];
    const guesses = sayAll(slots, [repeated, other, random.slice(0, 60)]);
    const [length = 0] = guesses.map((each) => each.length);
    expect(length).toBeGreaterThan(0);
    expect(guesses.map((each) => each.length)).toEqual([length, length, length]);
    expect(guesses[1]).toEqual(guesses[0]?.map((token) => token + 20));
  });

  it('with one cache get guesses where some are found', () => {
    const { sayAll, streamOf } = setUp(cheap, { apart: false });
    const unheard = Array.from({ length: 60 }, (_, i) => 100 + i);
    const [some, none] = sayAll([streamOf('a'), streamOf('b')], [repeated, unheard]);
    expect(some?.length).toBeGreaterThan(0);
    expect(none).toEqual([]);
  });

  it('get no more guesses than each has room for', () => {
    const { sayAll, streamOf } = setUp(cheap);
    const slots = [streamOf('a'), streamOf('b', repeated.length + 3)];
    for (const guesses of sayAll(slots, [repeated, other]))
      expect(guesses.length).toBeLessThanOrEqual(3);
  });

  it('get none where not all rows would fit', () => {
    const { sayAll, streamOf } = setUp(cheap, { rows: 3 });
    expect(sayAll([streamOf('a'), streamOf('b')], [repeated, other])).toEqual([[], []]);
  });
});
