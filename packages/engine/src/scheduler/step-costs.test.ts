// What decodes of so many tokens cost: a machine's hiccups do not make large ones seem impossible for ever.
import { expect, it } from 'vitest';
import { createStepCosts } from './step-costs.ts';

it('counts a decode during which the process was frozen as a slow one, known or not', () => {
  const costs = createStepCosts();
  for (let tokens = 1; tokens <= 256; tokens *= 2)
    for (let i = 0; i < 4; i++) costs.record(tokens, 4 * tokens);
  costs.record(256, 60_000);
  expect(costs.estimate(256)).toBeLessThan(2 * 4 * 256);
  costs.record(512, 60_000);
  expect(costs.estimate(512)).toBeLessThan(5 * 1.8 * 2 * 4 * 256);
});

it('follows a machine that has become slow', () => {
  const costs = createStepCosts();
  for (let i = 0; i < 4; i++) costs.record(8, 10);
  for (let i = 0; i < 30; i++) costs.record(8, 1000);
  expect(costs.estimate(8)).toBeGreaterThan(950);
});
