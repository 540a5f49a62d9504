// What decodes of so many rows cost: learnt, and never wrong for ever.
import { describe, expect, it } from 'vitest';
import { createRowCosts } from './row-costs.ts';

function known() {
  const costs = createRowCosts();
  for (let i = 0; i < 4; i++)
    for (const [rows, ms] of [[1, 10] as const, [8, 50] as const]) costs.record(rows, ms);
  return costs;
}

describe('a decode during which the process was frozen', () => {
  it('counts little where its rows are known', () => {
    const costs = known();
    costs.record(8, 60_000);
    expect(costs.atBest(8)).toBeLessThan(100);
  });

  it('counts little where only its neighbours are', () => {
    const costs = known();
    costs.record(4, 60_000);
    expect(costs.estimate(4)).toBeLessThan(200);
  });
});

it('hopes the more of a figure the older it is, and believes a new one at once', () => {
  const costs = known();
  // As slow as a busy machine makes it, several times: eight alone cost less.
  for (let i = 0; i < 5; i++) costs.record(8, 200);
  let decodes = 0;
  while (costs.atBest(8) > 80 && decodes < 10_000) {
    costs.record(1, 10);
    decodes++;
  }
  expect(decodes).toBeGreaterThan(400);
  expect(decodes).toBeLessThan(10_000);
  costs.record(8, 50);
  expect(costs.atBest(8)).toBe(50);
});
