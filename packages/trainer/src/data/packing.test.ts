import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { planSteps } from './data-set.ts';
import type { EncodedExample } from './encode.ts';
import { holdOutHash, shuffledOrder } from './order.ts';
import { buildBatch, inputLength, packRows } from './packing.ts';

const contextLength = 256;
const exampleArbitrary = fc
  .array(fc.integer({ min: 0, max: 999 }), { minLength: 2, maxLength: contextLength })
  .map((tokens): EncodedExample => ({
    tokens: Int32Array.from(tokens),
    weights: Float32Array.from(tokens, (token, index) => (index > 0 && token % 3 === 0 ? 1 : 0)),
  }));
const examplesArbitrary = fc.array(exampleArbitrary, { minLength: 1, maxLength: 20 });

describe('packing', () => {
  test('loses, repeats and mixes no token, whatever the layout', () => {
    fc.assert(
      fc.property(examplesArbitrary, fc.boolean(), (examples, packing) => {
        const lengths = examples.map(inputLength);
        const layout = packRows(lengths, { contextLength, packing });
        const batch = buildBatch(examples, layout);
        const seen = layout.rows.flat();
        expect(seen.toSorted((a, b) => a - b)).toEqual(examples.map((_, index) => index));
        expect(batch.seqLen % 64).toBe(0);
        expect(batch.seqLen).toBeLessThanOrEqual(contextLength);
        layout.rows.forEach((row, rowIndex) => {
          let at = rowIndex * batch.seqLen;
          row.forEach((index, segment) => {
            const { tokens, weights } = examples[index] ?? { tokens: [], weights: [] };
            for (let i = 0; i + 1 < tokens.length; i += 1, at += 1) {
              expect([
                batch.tokens[at],
                batch.targets[at],
                batch.weights[at],
                batch.positions[at],
                batch.segments[at],
              ]).toEqual([tokens[i], tokens[i + 1], weights[i + 1], i, segment]);
            }
          });
          const end = (rowIndex + 1) * batch.seqLen;
          expect(batch.segments.subarray(at, end).every((segment) => segment === -1)).toBe(true);
          expect(batch.weights.subarray(at, end).every((weight) => weight === 0)).toBe(true);
        });
      }),
      { numRuns: 50 },
    );
  });

  test('puts short examples together', () => {
    const layout = packRows([60, 60, 60, 60], { contextLength: 2048, packing: true });
    expect(layout.rows.length * layout.seqLen).toBeLessThanOrEqual(256);
    const many = packRows(Array(40).fill(60), { contextLength: 2048, packing: true });
    expect(many.rows.length * many.seqLen).toBeLessThan(40 * 60 * 1.15);
    expect(packRows([60, 60], { contextLength: 2048, packing: false })).toEqual({
      rows: [[0], [1]],
      seqLen: 64,
    });
  });
});

describe('the shapes of batches', () => {
  test('are few', () => {
    const shapes = new Set(
      Array.from({ length: 300 }, (_, index) => {
        const lengths = Array.from(
          { length: 8 },
          (_, example) => 20 + ((index * 37 + example * 61) % 180),
        );
        const { rows, seqLen } = packRows(lengths, { contextLength: 2048, packing: true });
        return Math.min(rows.length, Math.max(1, Math.floor(512 / seqLen))) * 10_000 + seqLen;
      }),
    );
    expect(shapes.size).toBeLessThanOrEqual(6);
  });
});

describe('the order of examples', () => {
  test('is a permutation that depends on seed and epoch only', () => {
    fc.assert(
      fc.property(fc.nat(300), fc.nat(), fc.nat(50), (count, seed, epoch) => {
        const order = shuffledOrder(count, seed, epoch);
        expect([...order].toSorted((a, b) => a - b)).toEqual([...Array(count).keys()]);
        expect(shuffledOrder(count, seed, epoch)).toEqual(order);
      }),
    );
    expect(shuffledOrder(50, 1, 0)).not.toEqual(shuffledOrder(50, 1, 1));
    expect(shuffledOrder(50, 1, 0)).not.toEqual(shuffledOrder(50, 2, 0));
  });

  test('takes each example once an epoch', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 1, max: 7 }),
        fc.integer({ min: 1, max: 4 }),
        (examples, batchSize, gradientAccumulation) => {
          const plan = planSteps({
            examples,
            batchSize,
            gradientAccumulation,
            epochs: 2,
            maxSteps: null,
            seed: 1,
          });
          const steps = Array.from({ length: plan.totalSteps }, (_, step) =>
            plan.microBatches(step),
          );
          const taken = steps.flat(2).toSorted((a, b) => a - b);
          expect(taken).toEqual([...Array(examples).keys()].flatMap((index) => [index, index]));
          for (const batches of steps) {
            expect(batches.length).toBeLessThanOrEqual(gradientAccumulation);
            for (const batch of batches) expect(batch.length).toBeLessThanOrEqual(batchSize);
          }
        },
      ),
    );
  });

  test('spreads the hold-out hash evenly', () => {
    const hashes = Array.from({ length: 2000 }, (_, index) =>
      holdOutHash(Int32Array.of(index, 7), 42),
    );
    const share = hashes.filter((hash) => hash < 0.1).length / hashes.length;
    expect(share).toBeGreaterThan(0.08);
    expect(share).toBeLessThan(0.12);
  });
});
