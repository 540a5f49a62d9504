import { describe, expect, it } from 'vitest';
import { deriveKey, fillDropout, fillNormal, fillUniform, threefry } from './random.ts';
import type { Key } from './random.ts';

const mean = (values: Float32Array): number => values.reduce((a, b) => a + b, 0) / values.length;

describe('threefry', () => {
  // Known answers of the Random123 library, file kat_vectors, "threefry2x32 20".
  it.each([
    [[0, 0], [0, 0], '6b200159 99ba4efe'],
    [[0xffffffff, 0xffffffff], [0xffffffff, 0xffffffff], '1cb996fc bb002be7'],
    [[0x13198a2e, 0x03707344], [0x243f6a88, 0x85a308d3], 'c4923a9c 483df7a0'],
  ] as const)('gives the published words for key %j and counter %j', (key, counter, expected) => {
    const out = new Int32Array(2);
    threefry(key, counter, out);
    const hex = Array.from(out, (word) => (word >>> 0).toString(16).padStart(8, '0'));
    expect(hex.join(' ')).toBe(expected);
  });
});

describe('fills', () => {
  const key: Key = deriveKey([42, 0], 1, 2);

  it('uniform: inside the bound, mean near 0', () => {
    const values = new Float32Array(20_001);
    fillUniform(key, values, 0.5);
    expect(Math.max(...values.map(Math.abs))).toBeLessThanOrEqual(0.5);
    expect(Math.abs(mean(values))).toBeLessThan(0.01);
    expect(mean(values.map((x) => x * x))).toBeCloseTo(0.25 / 3, 2);
  });

  it('normal: mean 0 and the deviation asked for', () => {
    const values = new Float32Array(20_001);
    fillNormal(key, values, 2);
    expect(Math.abs(mean(values))).toBeLessThan(0.06);
    expect(Math.sqrt(mean(values.map((x) => x * x)))).toBeCloseTo(2, 1);
  });

  it('dropout: keeps the expectation, and another stream drops other elements', () => {
    const a = new Float32Array(40_000);
    const b = new Float32Array(40_000);
    fillDropout(key, a, { probability: 0.25, stream: 0 });
    fillDropout(key, b, { probability: 0.25, stream: 1 });
    expect(mean(a)).toBeCloseTo(1, 1);
    expect(a.filter((x) => x === 0).length / a.length).toBeCloseTo(0.25, 1);
    expect(a).not.toEqual(b);
  });

  it('dropout: no element tells of another, near it or in another row', () => {
    const length = 100_003;
    const dropped = (stream: number): Float32Array => {
      const values = new Float32Array(length);
      fillDropout(key, values, { probability: 0.3, stream });
      return values.map((x) => Number(x === 0) - 0.3);
    };
    const one = dropped(5);
    const correlation = (other: Float32Array, lag: number): number =>
      mean(one.subarray(0, length - 64).map((x, i) => x * (other[i + lag] ?? 0))) / (0.3 * 0.7);
    for (const lag of [1, 2, 3, 4, 7, 8, 16, 32, 64]) {
      expect(Math.abs(correlation(one, lag))).toBeLessThan(0.015);
    }
    for (const stream of [0, 4, 6, 7]) {
      expect(Math.abs(correlation(dropped(stream), 0))).toBeLessThan(0.015);
    }
  });
});
