// Rounding of weights to 8 bits: how far off it may be, and what its corners are.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { quantiseRows } from './int8-rows.ts';

const quantised = (values: Float32Array, columns: number) => {
  const levels = new Int8Array(values.length);
  const scale = new Float32Array(values.length / columns);
  quantiseRows(values, columns, { levels, scale });
  return { levels, scale };
};

/** The smallest normal float32: below it there are no 24 bits to be exact in. */
const smallest = 2 ** -126;

test('no weight is further off than half a level of its row', () => {
  const row = fc.float32Array({ minLength: 6, maxLength: 6, noNaN: true, min: -8, max: 8 });
  fc.assert(
    fc.property(row, row, (first, second) => {
      const values = Float32Array.of(...first, ...second);
      const { levels, scale } = quantised(values, 6);
      for (const [i, value] of values.entries()) {
        const step = scale[Math.floor(i / 6)] ?? 0;
        const off = Math.abs(value - step * (levels[i] ?? 0));
        expect(off).toBeLessThanOrEqual(0.5001 * step + smallest);
        expect(levels[i]).toBeGreaterThanOrEqual(-127);
      }
    }),
  );
});

test('the largest of a row is a whole level, and a row of zeros stays zeros', () => {
  const { levels, scale } = quantised(Float32Array.of(1, -2, 0.5, 0, 0, 0), 3);
  expect([...levels]).toEqual([64, -127, 32, 0, 0, 0]);
  expect(scale[0]).toBeCloseTo(2 / 127, 8);
  expect(scale[1]).toBe(1);
});

test('a row too small to be divided into levels is a row of zeros', () => {
  const { levels, scale } = quantised(Float32Array.of(0, 2 ** -149, -(2 ** -148)), 3);
  expect([...levels, ...scale]).toEqual([0, 0, 0, 1]);
});
