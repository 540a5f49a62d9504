// The memory budget as a state machine on guests that only count: never more bytes than allowed, nobody lost,
// nobody kept out for ever, nobody thrown out who is in use. Time is the test's own.
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { CorralError } from '@corral/contracts';
import { ServingMemory } from './serving-memory.ts';
import type { MemoryGuest, ServingMemoryOptions } from './serving-memory.ts';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

const create = (more: Partial<ServingMemoryOptions> = {}): ServingMemory =>
  new ServingMemory({
    limitBytes: 10,
    waitMs: 60_000,
    patienceMs: 1000,
    lingerMs: 0,
    idleMs: 0,
    ...more,
  });

interface Guest extends MemoryGuest {
  readonly left: () => number;
}
const guest = (base: string, leaveMs = 10): Guest => {
  let left = 0;
  return {
    base,
    left: () => left,
    leave: async () => {
      left++;
      await new Promise((resolve) => setTimeout(resolve, leaveMs));
    },
  };
};
const soon = (ms = 0) => vi.advanceTimersByTimeAsync(ms);
/** What became of a request without waiting for it. */
async function outcome(entering: Promise<unknown>): Promise<string> {
  let found = 'waiting';
  void entering.then(
    () => (found = 'in'),
    (error: unknown) => (found = CorralError.isInstance(error) ? error.code : 'aborted'),
  );
  await soon();
  return found;
}

describe('room', () => {
  test('bases share it until it is full; the longest unused leaves for the next', async () => {
    const memory = create();
    const [a, b, c] = [guest('a'), guest('b'), guest('c')];
    (await memory.enter(a, 5))();
    await soon(5);
    (await memory.enter(b, 5))();
    await soon(5);
    (await memory.enter(a, 5))();
    const entering = memory.enter(c, 5);
    expect(await outcome(entering)).toBe('waiting');
    expect([a.left(), b.left()]).toEqual([0, 1]);
    await soon(10);
    expect(await outcome(entering)).toBe('in');
    expect(memory.report()).toEqual({ limit_bytes: 10, reserved_bytes: 10, waiting: 0 });
  });

  test('a base in use stays until it is not; the request that waits says why in the end', async () => {
    const memory = create({ patienceMs: 1000, waitMs: 5000 });
    const a = guest('a');
    await memory.enter(a, 8);
    const entering = memory.enter(guest('b'), 4);
    const refused = expect(entering).rejects.toMatchObject({
      code: 'overloaded',
      message: expect.stringContaining('"b" needs 4 B of memory; 8 B of 10 B are taken by "a"'),
      details: { retry_after_seconds: 5, needed_bytes: 4 },
    });
    await soon(5000);
    await refused;
    expect(a.left()).toBe(0);
    expect(memory.report().waiting).toBe(0);
  });

  test('what can never fit is refused at once, with the numbers', async () => {
    const memory = create();
    await expect(memory.enter(guest('big'), 11)).rejects.toMatchObject({
      code: 'model_too_large',
      message: expect.stringContaining('needs 11 B'),
    });
    memory.pin(new Set(['kept']));
    (await memory.enter(guest('kept'), 6))();
    await expect(memory.enter(guest('other'), 5)).rejects.toMatchObject({
      code: 'model_too_large',
      message: expect.stringContaining('4 B may be used'),
    });
  });

  test('a pinned base is not unloaded, neither for others nor for being idle', async () => {
    const memory = create({ idleMs: 100 });
    const [kept, other, third] = [guest('kept'), guest('other'), guest('third')];
    memory.pin(new Set(['kept']));
    (await memory.enter(kept, 5))();
    (await memory.enter(other, 5))();
    (await vi.waitFor(() => memory.enter(third, 5)))();
    await soon(10_000);
    expect([kept.left(), other.left(), third.left()]).toEqual([0, 1, 1]);
  });

  test('an idle base is unloaded after its time, one that is used is not', async () => {
    const memory = create({ idleMs: 1000 });
    const [a, b] = [guest('a'), guest('b')];
    (await memory.enter(a, 1))();
    await memory.enter(b, 1);
    await soon(900);
    expect(a.left()).toBe(0);
    await soon(200);
    expect([a.left(), b.left()]).toEqual([1, 0]);
    expect(memory.report().reserved_bytes).toBe(1);
  });

  test('a base that turns out larger pushes out idle ones, and nobody comes in beyond the limit', async () => {
    const memory = create();
    const [a, b] = [guest('a'), guest('b')];
    const leave = await memory.enter(a, 3);
    (await memory.enter(b, 3))();
    memory.resize(a, 9);
    expect(b.left()).toBe(1);
    await soon(20);
    const entering = memory.enter(b, 3);
    expect(await outcome(entering)).toBe('waiting');
    memory.resize(a, 7);
    expect(await outcome(entering)).toBe('in');
    leave();
  });

  test('a base whose process gave up leaves with its last user, and may come back', async () => {
    const memory = create();
    const a = guest('a');
    const leave = await memory.enter(a, 10);
    memory.giveUp(a);
    expect(a.left()).toBe(0);
    leave();
    expect(a.left()).toBe(1);
    const again = memory.enter(a, 10);
    await soon(10);
    expect(await outcome(again)).toBe('in');
  });

  test('removing ends a place in use and refuses who waits for it', async () => {
    const memory = create();
    const [a, b] = [guest('a'), guest('b')];
    await memory.enter(a, 10);
    const waiting = memory.enter(b, 10);
    const refused = expect(waiting).rejects.toMatchObject({ code: 'closed' });
    await memory.remove(b, new CorralError('closed', { params: { what: 'b' } }));
    await refused;
    void memory.remove(a, new CorralError('closed', { params: { what: 'a' } }));
    await soon(10);
    expect([a.left(), memory.report().reserved_bytes]).toEqual([1, 0]);
  });
});

describe('turns', () => {
  test('a stream of requests for one base does not keep another out', async () => {
    const memory = create({ patienceMs: 1000 });
    const [a, b] = [guest('a'), guest('b')];
    const first = await memory.enter(a, 8);
    const waiting = memory.enter(b, 8);
    await soon(500);
    const second = await memory.enter(a, 8); // Patience is not over.
    await soon(600);
    const late = memory.enter(a, 8); // Now it is: behind b.
    expect(await outcome(late)).toBe('waiting');
    first();
    second();
    await soon(10);
    expect([await outcome(waiting), await outcome(late)]).toEqual(['in', 'waiting']);
    (await waiting)();
    await soon(1010);
    expect(await outcome(late)).toBe('in');
  });

  test('when the one that waited goes away, the others go on', async () => {
    const memory = create({ patienceMs: 0 });
    const abort = new AbortController();
    const a = guest('a');
    await memory.enter(a, 8);
    const waiting = memory.enter(guest('b'), 8, abort.signal);
    waiting.catch(() => undefined);
    const next = memory.enter(a, 8);
    expect(await outcome(next)).toBe('waiting');
    abort.abort();
    expect(await outcome(next)).toBe('in');
  });

  test('a base used a moment ago gets that moment', async () => {
    const memory = create({ lingerMs: 100 });
    const a = guest('a');
    (await memory.enter(a, 8))();
    const waiting = memory.enter(guest('b'), 8);
    await soon(50);
    expect(a.left()).toBe(0);
    await soon(100);
    expect([a.left(), await outcome(waiting)]).toEqual([1, 'in']);
  });
});

const request = fc.record({
  base: fc.nat(4),
  at: fc.nat(600),
  holdMs: fc.nat(120),
  abortMs: fc.option(fc.nat(600), { nil: null, freq: 4 }),
});
const change = fc.record({
  base: fc.nat(4),
  at: fc.nat(600),
  kind: fc.constantFrom('grow', 'shrink', 'crash', 'pin'),
});

test('whatever comes: within the limit, nobody lost, nobody thrown out in use', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 10 }), { minLength: 5, maxLength: 5 }),
      fc.array(request, { maxLength: 40 }),
      fc.array(change, { maxLength: 10 }),
      async (sizes, requests, changes) => {
        const memory = create({ patienceMs: 50, lingerMs: 5, idleMs: 700 });
        const users = sizes.map(() => 0);
        let isGrown = false;
        /** Users of a base when it began to leave and when it had left. */
        const evictedInUse: number[] = [];
        const bases = sizes.map((_, base) => ({
          base: `${base}`,
          leave: async () => {
            evictedInUse.push(users[base] ?? 0);
            await new Promise((resolve) => setTimeout(resolve, 20));
            evictedInUse.push(users[base] ?? 0);
          },
        }));
        const check = () => {
          if (!isGrown) expect(memory.report().reserved_bytes).toBeLessThanOrEqual(10);
        };
        const at = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
        const run = async ({ base, at: time, holdMs, abortMs }: (typeof requests)[number]) => {
          const [one, bytes] = [bases[base], sizes[base]];
          if (!one || bytes === undefined) return 'none';
          await at(time);
          const abort = new AbortController();
          if (abortMs !== null) setTimeout(() => abort.abort(), abortMs);
          let leave: () => void;
          try {
            leave = await memory.enter(one, bytes, abort.signal);
          } catch (error) {
            return CorralError.isInstance(error) ? error.code : 'aborted';
          }
          users[base] = (users[base] ?? 0) + 1;
          check();
          await at(holdMs);
          users[base] -= 1;
          leave();
          check();
          return 'served';
        };
        const disturb = async ({ base, at: time, kind }: (typeof changes)[number]) => {
          const one = bases[base];
          if (!one) return;
          await at(time);
          if (kind === 'crash') memory.giveUp(one);
          if (kind === 'pin') memory.pin(new Set([one.base]));
          if (kind === 'shrink') memory.resize(one, 1);
          if (kind === 'grow') {
            isGrown = true;
            memory.resize(one, 12);
          }
        };
        const all = Promise.all(requests.map(run));
        const other = Promise.all(changes.map(disturb));
        await vi.advanceTimersByTimeAsync(100_000);
        await other;
        const outcomes = await all;
        expect(evictedInUse.filter((count) => count > 0)).toEqual([]);
        expect(users).toEqual(sizes.map(() => 0));
        expect(memory.report().waiting).toBe(0);
        // Holds of 0.12 s and a wait of 60 s: without pins and growth, everybody's turn comes.
        if (changes.every(({ kind }) => kind === 'shrink' || kind === 'crash')) {
          const lost = outcomes.filter((found) => found !== 'served' && found !== 'aborted');
          expect(lost).toEqual([]);
        }
      },
    ),
    { numRuns: 150 },
  );
});
