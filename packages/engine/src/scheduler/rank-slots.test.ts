// Slots under any history of use: what is wanted is there, nothing overlaps, and what is no longer owned is known.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRankSlots } from './rank-slots.ts';

const want = (...pairs: [string, number][]): Map<string, number> => new Map(pairs);

describe('createRankSlots', () => {
  it('writes an adapter once while it stays', () => {
    const slots = createRankSlots<string>(32);
    expect(slots.place(want(['a', 16]))).toEqual([['a', { from: 0, to: 16 }]]);
    expect(slots.place(want(['a', 16], ['b', 16]))).toEqual([['b', { from: 16, to: 32 }]]);
    expect(slots.place(want(['b', 16]))).toEqual([]);
  });

  it('gives away the place that was not used for longest', () => {
    const slots = createRankSlots<string>(32);
    slots.place(want(['a', 16]));
    slots.place(want(['b', 16]));
    slots.place(want(['a', 16]));
    expect(slots.place(want(['c', 16]))).toEqual([['c', { from: 16, to: 32 }]]);
    expect(slots.has('b')).toBe(false);
  });

  it('moves what must stay when the gaps are too small', () => {
    const slots = createRankSlots<string>(32);
    slots.place(want(['a', 8], ['b', 8], ['c', 8]));
    slots.remove('b');
    const placed = slots.place(want(['a', 8], ['c', 8], ['d', 16]));
    expect(new Map(placed).get('d')).toEqual({ from: 16, to: 32 });
  });

  it('knows the ranks that are left behind', () => {
    const slots = createRankSlots<string>(32);
    slots.place(want(['a', 8], ['b', 4]));
    slots.place(want(['b', 4]), true);
    expect(slots.dirty()).toEqual([{ from: 0, to: 8 }]);
    slots.cleaned();
    expect(slots.dirty()).toEqual([]);
  });

  it('holds after any history', () => {
    const ranks = 32;
    const sizes: Readonly<Record<string, number>> = { a: 1, b: 4, c: 5, d: 8, e: 16, f: 32 };
    const step = fc.record({
      wanted: fc.uniqueArray(fc.constantFrom(...Object.keys(sizes)), { minLength: 1 }),
      removed: fc.constantFrom(...Object.keys(sizes)),
      alone: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const slots = createRankSlots<string>(ranks);
        // Which adapter's weights lie at each rank, as a stack would have it.
        const memory: (string | undefined)[] = Array.from({ length: ranks });
        for (const { wanted, removed, alone } of steps) {
          let room = ranks;
          const fitting = wanted.filter((key) => (room -= sizes[key] ?? 0) >= 0);
          const map = new Map(fitting.map((key) => [key, sizes[key] ?? 0]));
          for (const [key, { from, to }] of slots.place(map, alone)) memory.fill(key, from, to);
          const owned = new Set<number>();
          for (const [key, size] of map) {
            const { from = 0, to = 0 } = slots.range(key) ?? {};
            expect(to - from).toBe(size);
            for (let rank = from; rank < to; rank++) {
              expect(memory[rank]).toBe(key);
              expect(owned.has(rank)).toBe(false);
              owned.add(rank);
            }
          }
          expect(slots.size <= map.size || !alone).toBe(true);
          for (const { from, to } of slots.dirty())
            for (let rank = from; rank < to; rank++) expect(owned.has(rank)).toBe(false);
          slots.remove(removed);
        }
      }),
    );
  });
});
