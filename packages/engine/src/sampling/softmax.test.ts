// Sums, log-probabilities and selections against plain definitions.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { logprobsOf, topLogprobs } from './logprobs.ts';
import { argmax, candidatesAbove, logSumExp, sumOfExponentials, topCandidates } from './softmax.ts';

const rows = fc
  .array(fc.float({ min: -60, max: 60, noNaN: true }), { minLength: 1, maxLength: 300 })
  .map((values) => Float32Array.from(values));

const sorted = (row: Float32Array): number[] =>
  Array.from(row, (_, i) => i).toSorted((a, b) => (row[b] as number) - (row[a] as number) || a - b);

describe('logSumExp', () => {
  it('equals the definition to 1e-9', () => {
    fc.assert(
      fc.property(rows, (row) => {
        const max = Math.max(...row);
        const exact = max + Math.log(row.reduce((sum, x) => sum + Math.exp(x - max), 0));
        expect(Math.abs(logSumExp(row) - exact)).toBeLessThan(1e-9);
      }),
    );
  });

  it('leaves NaN out', () => {
    expect(logSumExp(Float32Array.of(1, Number.NaN, 1))).toBeCloseTo(1 + Math.log(2), 9);
  });
});

describe('sumOfExponentials', () => {
  it('keeps each weight, scaled', () => {
    const weights = new Float64Array(3);
    const sum = sumOfExponentials(Float32Array.of(2, 1, -200), 2, { scale: 2, weights });
    expect(weights[0]).toBe(1);
    expect(weights[1]).toBeCloseTo(Math.exp(-2), 10);
    expect(weights[2]).toBe(0);
    expect(sum).toBeCloseTo(1 + Math.exp(-2), 10);
  });
});

describe('topCandidates', () => {
  it('equals sorting everything, for any count and with ties', () => {
    const tied = fc
      .array(fc.integer({ min: -3, max: 3 }), { minLength: 1, maxLength: 100 })
      .map((values) => Float32Array.from(values));
    fc.assert(
      fc.property(fc.oneof(rows, tied), fc.integer({ min: 1, max: 120 }), (row, count) => {
        expect([...topCandidates(row, count).tokens]).toEqual(sorted(row).slice(0, count));
      }),
    );
  });

  it('leaves out what cannot be drawn', () => {
    const row = Float32Array.of(-Infinity, 3, Number.NaN, 1);
    expect([...topCandidates(row, 4).tokens]).toEqual([1, 3]);
  });
});

describe('candidatesAbove', () => {
  it('takes exactly the tokens above the limit, best first', () => {
    fc.assert(
      fc.property(rows, fc.float({ min: -60, max: 60, noNaN: true }), (row, limit) => {
        const expected = sorted(row).filter((token) => (row[token] as number) > limit);
        expect([...candidatesAbove(row, limit).tokens]).toEqual(expected);
      }),
    );
  });
});

describe('argmax', () => {
  it('takes the first of equals, and says when there is none', () => {
    expect(argmax(Float32Array.of(1, 5, 5))).toBe(1);
    expect(argmax(Float32Array.of(Number.NaN, -Infinity))).toBe(-1);
  });
});

describe('log-probabilities', () => {
  it('sum to one over the whole row', () => {
    fc.assert(
      fc.property(rows, (row) => {
        const total = topLogprobs(row, row.length).reduce((sum, [, lp]) => sum + Math.exp(lp), 0);
        expect(total).toBeCloseTo(1, 8);
      }),
    );
  });

  it('are the same for a token asked for by name', () => {
    const row = Float32Array.of(0.5, -1, 3);
    const [[best, logprob] = [0, 0]] = topLogprobs(row, 1);
    expect(best).toBe(2);
    expect(logprobsOf(row, [2])).toEqual([logprob]);
  });

  it('stay finite for a forbidden token, so that JSON can carry them', () => {
    const [logprob] = logprobsOf(Float32Array.of(0, -Infinity), [1]);
    expect(JSON.parse(JSON.stringify([logprob]))).toEqual([-Number.MAX_VALUE]);
  });
});
