import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { pairOutcome } from './dpo-loss.ts';

const loss = fc.double({ min: 0, max: 200, noNaN: true });
const pair = fc.record({ chosen: loss, rejected: loss });

describe('the loss of a pair', () => {
  test('is log 2 where the policy is the reference', () => {
    const same = { chosen: 12.5, rejected: 40 };
    const outcome = pairOutcome(same, same, { beta: 0.3 });
    expect(outcome.loss).toBeCloseTo(Math.LN2, 12);
    expect(outcome).toMatchObject({ margin: 0, weights: { chosen: 0.15, rejected: -0.15 } });
  });

  test('has the weight of its answers as derivative, and is finite however wrong the policy', () => {
    fc.assert(
      fc.property(
        pair,
        pair,
        fc.double({ min: 0.01, max: 1, noNaN: true }),
        (policy, reference, beta) => {
          const at = (by: number): number => {
            const moved = { ...policy, chosen: policy.chosen + by };
            return pairOutcome(moved, reference, { beta }).loss;
          };
          const { loss: value, weights, margin } = pairOutcome(policy, reference, { beta });
          const { chosen: weight } = weights;
          expect(Number.isFinite(value)).toBe(true);
          // σ(−margin) = 1 − e^(−loss)
          expect(weight / beta).toBeCloseTo(-Math.expm1(-value), 9);
          expect((at(1e-3) - at(-1e-3)) / 2e-3).toBeCloseTo(weight, 5);
          expect(value - Math.LN2).toBeLessThanOrEqual(Math.max(0, -margin) + 1e-12);
        },
      ),
    );
  });
});
