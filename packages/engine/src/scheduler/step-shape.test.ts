// Which decodes a step of streams becomes: all streams once, idle sequences only where they save time.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRowCosts } from './row-costs.ts';
import { shapeStep, type ShapeOptions, type ShapeRow } from './step-shape.ts';

/** What decodes of 1, 2, 3 … rows were measured to take: 135M on one core. */
const q8 = [7, 30, 35, 39, 48, 51, 54, 50, 57, 60, 64, 60, 65, 71, 75, 58];
const q4 = [5.5, 13.4, 17.4, 17.7, 25, 30, 34, 25.3, 33, 37.5, 42, 33.4, 40, 45, 50, 37];

function costsOf(ms: readonly number[]) {
  const costs = createRowCosts();
  for (let i = 0; i < 2; i++) for (const [j, each] of ms.entries()) costs.record(j + 1, each);
  return costs;
}

const needed = (...sequences: number[]): ShapeRow[] =>
  sequences.map((sequence) => ({ sequence, needed: true }));
const idle = (...sequences: number[]): ShapeRow[] =>
  sequences.map((sequence) => ({ sequence, needed: false }));
const options = { apart: true, width: 1, most: 64 };

const sizes = (rows: ShapeRow[], ms: readonly number[], changes: Partial<ShapeOptions> = {}) =>
  shapeStep(
    rows.toSorted((a, b) => a.sequence - b.sequence),
    { ...options, costs: costsOf(ms), ...changes },
  ).map((part) => part.length);

describe('a step of streams', () => {
  it('is one decode where that costs least', () => {
    expect(sizes(needed(0, 1, 2, 3, 4, 5, 6, 7), q8)).toEqual([8]);
  });

  it('is decoded one by one where few rows cost more than as many single ones', () => {
    expect(sizes(needed(0, 1, 2, 3), q8)).toEqual([1, 1, 1, 1]);
  });

  it('has an idle sequence beside it that fills the tile', () => {
    const parts = sizes([...needed(0, 1, 2, 3, 4, 5, 6), ...idle(7, 8, 9)], q4);
    expect(parts).toEqual([8]);
  });

  it('goes without one where none is free', () => {
    expect(sizes(needed(0, 1, 2, 3, 4), q4).toSorted((a, b) => a - b)).toEqual([1, 4]);
  });

  it('closes the gap between two stretches', () => {
    expect(sizes([...needed(0, 1, 2, 3, 5, 6, 7), ...idle(4)], q4)).toEqual([8]);
    expect(sizes(needed(0, 1, 2, 3, 5, 6, 7), q4)).not.toEqual([7]);
  });

  it('knows no gaps in a shared cache', () => {
    expect(sizes(needed(0, 1, 2, 3, 15, 16, 17, 18), q4, { apart: false })).toEqual([8]);
  });

  it('is one decode before anything is known', () => {
    const costs = createRowCosts();
    const rows = [...needed(0, 1, 4), ...idle(2, 3)];
    expect(shapeStep(rows, { ...options, costs })).toEqual([needed(0, 1, 4)]);
  });

  it('holds every stream once, and no more rows than fit', () => {
    const sequences = fc.uniqueArray(fc.nat(40), { minLength: 1, maxLength: 30 });
    const curve = fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 32 });
    fc.assert(
      fc.property(
        sequences,
        fc.integer({ min: 1, max: 30 }),
        curve,
        fc.boolean(),
        fc.integer({ min: 1, max: 3 }),
        (all, count, ms, apart, width) => {
          const rows = all
            .map((sequence, i) => ({ sequence, needed: i < count }))
            .toSorted((a, b) => a.sequence - b.sequence);
          const parts = shapeStep(rows, { costs: costsOf(ms), apart, width, most: 24 });
          const found = parts.flat().filter((row) => row.needed);
          expect(found).toEqual(rows.filter((row) => row.needed));
          expect(new Set(parts.flat()).size).toBe(parts.flat().length);
          for (const part of parts) {
            expect(part.some((row) => row.needed)).toBe(true);
            expect(part.length * width).toBeLessThanOrEqual(24);
            const gaps = part
              .slice(1)
              .map(({ sequence }, i) => sequence - (part[i]?.sequence ?? 0));
            expect(gaps.every((gap) => gap === 1) || !apart).toBe(true);
          }
        },
      ),
    );
  });
});

describe('costs of rows', () => {
  it('are hoped to be low until they are known', () => {
    const costs = createRowCosts();
    costs.record(1, 10);
    expect(costs.atBest(4)).toBeLessThan(costs.estimate(4));
    for (let i = 0; i < 3; i++) costs.record(4, 60);
    expect(costs.atBest(4)).toBe(60);
  });

  it('forget one slow decode, and hope again after a long time', () => {
    const costs = createRowCosts();
    costs.record(4, 500);
    costs.record(4, 20);
    expect(costs.estimate(4)).toBe(20);
    for (let i = 0; i < 500; i++) costs.record(1, 10);
    expect(costs.atBest(4)).toBeLessThan(20);
  });
});
