// The divergence is zero for equals, never negative, and equal to the textbook sum where nothing is left.
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { bucketedKl } from './divergence.ts';

const logs = (values: readonly number[]): number[] => values.map(Math.log);

test('a worked example: all mass listed', () => {
  // 0.5 ln(0.5/0.25) + 0.5 ln(0.5/0.75)
  expect(bucketedKl(logs([0.5, 0.5]), logs([0.25, 0.75]))).toBeCloseTo(0.143841, 5);
});

test('a worked example: the rest is one bucket', () => {
  // 0.7 ln(0.7/0.5) + 0.3 ln(0.3/0.5)
  expect(bucketedKl(logs([0.7]), logs([0.5]))).toBeCloseTo(0.082283, 5);
});

const distribution = fc
  .array(fc.double({ min: 1e-6, max: 1, noNaN: true }), { minLength: 1, maxLength: 20 })
  .map((weights) => {
    const sum = weights.reduce((a, b) => a + b, 0) * 1.1; // A tenth for the rest.
    return weights.map((weight) => Math.log(weight / sum));
  });

test('zero for equal distributions, never negative for others', () => {
  fc.assert(
    fc.property(distribution, distribution, (p, q) => {
      const n = Math.min(p.length, q.length);
      expect(bucketedKl(p, p)).toBeCloseTo(0, 9);
      expect(bucketedKl(p.slice(0, n), q.slice(0, n))).toBeGreaterThanOrEqual(0);
    }),
  );
});

test('a token that the other thinks impossible gives a large finite number', () => {
  const kl = bucketedKl(logs([0.9]), [Number.NEGATIVE_INFINITY]);
  expect(kl).toBeGreaterThan(5);
  expect(Number.isFinite(kl)).toBe(true);
});
