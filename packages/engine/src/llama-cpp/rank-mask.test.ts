// Which floats of a product are cleared: all but each row's own ranks.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { clearedSpans } from './rank-mask.ts';

describe('clearedSpans', () => {
  it('leaves each row its own ranks and nothing else', () => {
    const width = 32;
    const range = fc
      .tuple(fc.integer({ min: 0, max: width }), fc.integer({ min: 0, max: width }))
      .map(([a, b]) => ({ from: Math.min(a, b), to: Math.max(a, b) }));
    const ranks = fc.array(fc.option(range), { minLength: 1, maxLength: 8 });
    const rows = fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 20 });
    fc.assert(
      fc.property(ranks, rows, (bySequence, sequences) => {
        const product = new Float32Array(sequences.length * width).fill(1);
        const spans = clearedSpans(sequences, bySequence, width);
        for (let i = 0; i < spans.length; i += 2) product.fill(0, spans[i], spans[i + 1]);
        const expected = sequences.flatMap((sequence) => {
          const own = bySequence[sequence];
          return Array.from({ length: width }, (_, rank) =>
            own && rank >= own.from && rank < own.to ? 1 : 0,
          );
        });
        expect([...product]).toEqual(expected);
      }),
    );
  });
});
