import { describe, expect, it } from 'vitest';
import { planSideContexts } from './side-contexts.ts';

const model = {
  info: {
    architecture: 'llama',
    trainedContext: 2048,
    parameters: 1,
    sizeBytes: 1,
    chatTemplate: null,
    pooling: null,
    cacheBytesPerToken: 1000,
    embeddingWidth: 100,
  },
  vocabulary: { size: 1000 },
};
const main = {
  sequenceTokens: 1000,
  sequences: 8,
  outputs: 64,
  sharedTokens: null,
  portable: true,
  batch: { capacity: 100 },
};
const input = { model, main, threads: 2 };
/** Keys and values, logits twice, scratch. */
const oneBytes = 1000 * 1000 + 2 * 16 * 1000 * 4 + 100 * 100 * 8 * 4;

describe('planSideContexts', () => {
  it('gives room for as many sequences as the main context has', () => {
    const plan = planSideContexts({ ...input, availableBytes: 2 ** 40 });
    if (typeof plan === 'string') throw new Error(plan);
    expect(plan.maxSeats).toBe(8);
    expect(plan.bytes(1, 1)).toBe(oneBytes);
    expect(plan.options(2)).toEqual({
      sequenceTokens: 1000,
      batchTokens: 100,
      threads: 2,
      sequences: 2,
      outputs: 32,
    });
    expect(plan.options(8).outputs).toBe(64);
  });

  it('takes no more than a quarter of what is free', () => {
    const plan = planSideContexts({ ...input, availableBytes: 4 * 3 * oneBytes });
    expect(plan).toMatchObject({ maxSeats: 3 });
  });

  it('says why there can be none', () => {
    expect(planSideContexts({ ...input, availableBytes: oneBytes })).toMatch(
      /another context takes 2 MiB/,
    );
    const shared = { ...main, sharedTokens: 4000 };
    expect(planSideContexts({ ...input, main: shared, availableBytes: 2 ** 40 })).toMatch(/share/);
    const fixed = { ...main, portable: false };
    expect(planSideContexts({ ...input, main: fixed, availableBytes: 2 ** 40 })).toMatch(/carried/);
  });
});
