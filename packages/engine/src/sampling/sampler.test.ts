// Which tokens may be drawn, how often, and what moves them: against plain definitions over all tokens.
import { samplingSchema, type Sampling } from '@corral/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createSampler, truncate } from './sampler.ts';

const settings = (changes: Partial<Sampling>): Sampling => samplingSchema.parse(changes);
const none = { prompt: [], forbidden: [] };

/** The set by the definition: sort all, keep top_k, then the nucleus of what is left, then min_p. */
function expectedSet(row: Float32Array, { top_k, top_p, min_p }: Sampling): number[] {
  let tokens = Array.from(row, (_, i) => i).toSorted(
    (a, b) => (row[b] as number) - (row[a] as number) || a - b,
  );
  if (top_k > 0) tokens = tokens.slice(0, top_k);
  const best = row[tokens[0] as number] as number;
  const weight = (token: number): number => Math.exp((row[token] as number) - best);
  const total = tokens.reduce((sum, token) => sum + weight(token), 0);
  if (top_p < 1) {
    let sum = 0;
    const size = tokens.findIndex((token) => (sum += weight(token)) >= top_p * total);
    if (size >= 0) tokens = tokens.slice(0, size + 1);
  }
  return tokens.filter((token, i) => i === 0 || weight(token) >= min_p);
}

// Logits on a grid, probabilities off it: no test hangs on the last bit of a sum.
const rows = fc
  .array(fc.integer({ min: -80, max: 80 }), { minLength: 2, maxLength: 200 })
  .map((values) => Float32Array.from(values, (value) => value / 8));
const share = fc.integer({ min: 1, max: 99 }).map((n) => n / 100 + 0.00317);

describe('truncate', () => {
  it('keeps exactly the tokens of the definition', () => {
    const topK = fc.integer({ min: 0, max: 60 });
    const minP = fc.oneof(fc.constant(0), share);
    const topP = fc.oneof(fc.constant(1), share);
    fc.assert(
      fc.property(rows, topK, topP, minP, (row, top_k, top_p, min_p) => {
        const chosen = settings({ top_k, top_p: Math.min(1, top_p), min_p: Math.min(1, min_p) });
        const kept = truncate(row, chosen);
        const tokens = kept ? [...kept.tokens] : Array.from(row, (_, i) => i);
        const compare = (list: number[]) => list.toSorted((a, b) => a - b);
        expect(compare(tokens)).toEqual(compare(expectedSet(row, chosen)));
      }),
      { numRuns: 500 },
    );
  });
});

describe('createSampler', () => {
  it('takes the most likely token at temperature 0', () => {
    const sampler = createSampler(settings({ temperature: 0 }), none);
    expect(sampler.sample(Float32Array.of(1, 3, 3, 2))).toBe(1);
  });

  it('draws the same tokens for the same seed and others for another', () => {
    const row = Float32Array.from({ length: 500 }, (_, i) => Math.sin(i));
    const draw = (seed: number): number[] => {
      const sampler = createSampler(settings({ seed }), none);
      return Array.from({ length: 50 }, () => sampler.sample(row));
    };
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
  });

  it.each([
    { temperature: 1 },
    { temperature: 0.5 },
    { temperature: 1.5, top_k: 4 },
    { temperature: 0.8, top_p: 0.999 },
  ])('draws as often as the softmax says: $temperature', (changes) => {
    const row = Float32Array.of(2, 1, 0, -1, -Infinity);
    const sampler = createSampler(settings({ seed: 3, ...changes }), none);
    const counts = [0, 0, 0, 0, 0];
    const draws = 40_000;
    for (let i = 0; i < draws; i++) {
      const token = sampler.sample(row);
      counts[token] = (counts[token] ?? 0) + 1;
    }
    const weights = Array.from(row, (logit) => Math.exp(logit / changes.temperature));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    for (const [token, weight] of weights.entries())
      expect((counts[token] ?? 0) / draws).toBeCloseTo(weight / total, 1.9);
  });

  it('never draws a forbidden token', () => {
    const sampler = createSampler(settings({ temperature: 0 }), { prompt: [], forbidden: [1] });
    expect(sampler.sample(Float32Array.of(1, 9, 2))).toBe(2);
  });

  it('adds the bias of a token', () => {
    const sampler = createSampler(settings({ temperature: 0, logit_bias: [[0, 100]] }), none);
    expect(sampler.sample(Float32Array.of(1, 9, 2))).toBe(0);
  });

  it('lets the frequency penalty grow with each use of a generated token', () => {
    const row = Float32Array.of(3, 2.5);
    const sampler = createSampler(settings({ temperature: 0, frequency_penalty: 0.3 }), none);
    // 3 → 2.7 → 2.4: the third draw is the other token's.
    expect([1, 2, 3].map(() => sampler.sample(row))).toEqual([0, 0, 1]);
  });

  it('applies the presence penalty once', () => {
    const row = Float32Array.of(3, 2.5, 0);
    const sampler = createSampler(settings({ temperature: 0, presence_penalty: 1 }), none);
    // 0 falls to 2, then 1 falls to 1.5, then 0 (2) is best again and stays there.
    expect([1, 2, 3, 4].map(() => sampler.sample(row))).toEqual([0, 1, 0, 0]);
  });

  it('applies the repetition penalty to the prompt too, dividing what is positive', () => {
    const options = { prompt: [0], forbidden: [] };
    const sampler = createSampler(settings({ temperature: 0, repetition_penalty: 2 }), options);
    expect(sampler.sample(Float32Array.of(3, 2, -1))).toBe(1);
  });

  it('multiplies what is negative, so a penalty never helps', () => {
    const options = { prompt: [0], forbidden: [] };
    const sampler = createSampler(settings({ temperature: 0, repetition_penalty: 2 }), options);
    expect(sampler.sample(Float32Array.of(-1, -1.5, -9))).toBe(1);
  });

  it('does not change the row it was given', () => {
    const row = Float32Array.of(1, 9, 2);
    createSampler(settings({ logit_bias: [[0, 5]] }), none).sample(row);
    expect([...row]).toEqual([1, 9, 2]);
  });

  it('says −1 when there is nothing finite to draw from', () => {
    const sampler = createSampler(settings({}), none);
    expect(sampler.sample(Float32Array.of(Number.NaN, Number.NaN))).toBe(-1);
    expect(sampler.sample(Float32Array.of(-Infinity, -Infinity))).toBe(-1);
  });
});
