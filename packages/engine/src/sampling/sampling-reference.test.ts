// The samplers against transformers and the published formulas; values and script in reference/.
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { samplingSchema, type Sampling } from '@corral/contracts';
import { createLogitAdjuster } from './penalties.ts';
import { createSampler, truncate } from './sampler.ts';

interface Reference {
  readonly rows: number[][];
  readonly prompt: number[];
  readonly generated: number[];
  readonly truncations: { settings: Partial<Sampling>; expected: [number, number][][] }[];
  readonly penalties: { settings: Partial<Sampling>; expected: number[][] }[];
}

const file = new URL('../../reference/fixtures/sampling.json', import.meta.url);
const reference = JSON.parse(await readFile(file, 'utf8')) as Reference;
const rows = reference.rows.map((row) => Float32Array.from(row));
const settingsOf = (changes: Partial<Sampling>): Sampling => samplingSchema.parse(changes);

describe('what is left to draw from is what transformers leaves', () => {
  it.each(reference.truncations)('under $settings', ({ settings, expected }) => {
    for (const [i, row] of rows.entries()) {
      const candidates = truncate(row, settingsOf(settings));
      if (!candidates) throw new Error('nothing was cut');
      const weights = candidates.logits.map((logit) => Math.exp(logit));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      const found = Array.from(candidates.tokens, (token, place) => ({
        token,
        probability: (weights[place] as number) / total,
      })).toSorted((a, b) => a.token - b.token);
      const wanted = expected[i] ?? [];
      expect(found.map(({ token }) => token)).toEqual(wanted.map(([token]) => token));
      for (const [place, { probability }] of found.entries())
        expect(probability).toBeCloseTo(wanted[place]?.[1] ?? NaN, 6);
    }
  });
});

describe('logits after penalties are those of the formulas', () => {
  it.each(reference.penalties)('under $settings', ({ settings, expected }) => {
    for (const [i, row] of rows.entries()) {
      const adjuster = createLogitAdjuster(settingsOf(settings), {
        prompt: reference.prompt,
        forbidden: [],
      });
      for (const token of reference.generated) adjuster.accept(token);
      for (const [token, value] of adjuster.adjust(row).entries())
        expect(value).toBeCloseTo(expected[i]?.[token] ?? NaN, 4);
    }
  });
});

describe('draws', () => {
  it.each([0.5, 1, 1.7])('come as often as the softmax at temperature %d says', (temperature) => {
    const row = rows[1] ?? new Float32Array();
    const sampler = createSampler(settingsOf({ temperature, seed: 3 }), {
      prompt: [],
      forbidden: [],
    });
    const count = 20_000;
    const drawn = new Map<number, number>();
    for (let i = 0; i < count; i++) {
      const token = sampler.sample(row);
      drawn.set(token, (drawn.get(token) ?? 0) + 1);
    }
    const weights = row.map((logit) => Math.exp(logit / temperature));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    for (const [token, weight] of weights.entries()) {
      const expected = (count * weight) / total;
      const deviation = Math.abs((drawn.get(token) ?? 0) - expected);
      // Five standard deviations, and a draw for what is nearly never drawn.
      expect(deviation).toBeLessThan(5 * Math.sqrt(expected) + 1.5);
    }
  });

  it('under a constraint leave each allowed token its share', () => {
    const row = rows[1] ?? new Float32Array();
    const allowed = [3, 5, 40, 41, 77];
    const mask = new Uint32Array(3);
    for (const token of allowed) mask[token >>> 5] = (mask[token >>> 5] ?? 0) | (1 << (token & 31));
    const constraint = { allows: (token: number) => allowed.includes(token), mask: () => mask };
    const sampler = createSampler(settingsOf({ seed: 9 }), { prompt: [], forbidden: [] });
    const count = 20_000;
    const drawn = new Map<number, number>();
    for (let i = 0; i < count; i++) {
      const token = sampler.sample(row, constraint);
      drawn.set(token, (drawn.get(token) ?? 0) + 1);
    }
    const total = allowed.reduce((sum, token) => sum + Math.exp(row[token] ?? 0), 0);
    expect([...drawn.keys()].toSorted((a, b) => a - b)).toEqual(allowed);
    for (const token of allowed) {
      const expected = (count * Math.exp(row[token] ?? 0)) / total;
      expect(Math.abs((drawn.get(token) ?? 0) - expected)).toBeLessThan(5 * Math.sqrt(expected));
    }
  });

  it('say when a constraint allows nothing', () => {
    const constraint = { allows: () => false, mask: () => new Uint32Array(3) };
    const sampler = createSampler(settingsOf({}), { prompt: [], forbidden: [] });
    expect(sampler.sample(rows[0] ?? new Float32Array(), constraint)).toBe(-1);
  });
});
