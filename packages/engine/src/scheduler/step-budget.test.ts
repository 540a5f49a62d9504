// The budget of a step: whole for a fast model, short for a slow one, steady for both.
import { describe, expect, it } from 'vitest';
import { createStepBudget } from './step-budget.ts';

/** Feeds full steps of a model that needs `ms` for a token; the budgets after each. */
function run(ms: number, largest = 512): number[] {
  const budget = createStepBudget(largest);
  budget.record(16, 16 * ms * 3); // The warm-up: small batches cost more for each token.
  return Array.from({ length: 12 }, () => {
    budget.record(budget.tokens, budget.tokens * ms);
    return budget.tokens;
  });
}

describe('createStepBudget', () => {
  it('leaves a fast model the whole batch', () => {
    expect(new Set(run(2))).toEqual(new Set([512]));
  });

  it('keeps the steps of a slow model within seconds, and settles', () => {
    for (const ms of [20, 50, 90]) {
      const budgets = run(ms);
      const last = budgets.at(-1) ?? 0;
      expect(last * ms).toBeLessThanOrEqual(4000);
      expect(last * ms).toBeGreaterThan(800);
      expect(new Set(budgets.slice(-6)).size).toBe(1);
    }
  });

  it('never goes below a useful batch nor above the given one', () => {
    expect(run(10_000).at(-1)).toBe(32);
    expect(run(0.1, 100).at(-1)).toBe(100);
  });

  it('recovers from a stall that was not the model’s fault', () => {
    const budget = createStepBudget(512);
    budget.record(512, 60_000);
    expect(budget.tokens).toBe(32);
    for (let i = 0; i < 10; i++) budget.record(budget.tokens, budget.tokens * 2);
    expect(budget.tokens).toBe(512);
  });

  it('takes no notice of steps that only generate', () => {
    const budget = createStepBudget(512);
    budget.record(8, 100_000);
    expect(budget.tokens).toBe(512);
  });
});
