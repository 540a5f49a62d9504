import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RowGroup } from './batch-layout.ts';
import { rowGroups } from './batch-layout.ts';
import type { PackedBatch } from './causal-lm.ts';

/** Rows of example lengths; what is left of a row is padding. */
const batchOf = (rows: readonly (readonly number[])[], seqLen: number): PackedBatch => {
  const size = rows.length * seqLen;
  const segments = new Int32Array(size).fill(-1);
  for (const [row, lengths] of rows.entries()) {
    let at = row * seqLen;
    for (const [segment, length] of lengths.entries()) {
      segments.fill(segment, at, Math.min(at + length, (row + 1) * seqLen));
      at += length;
    }
  }
  const zeros = new Int32Array(size);
  const weights = new Float32Array(size);
  return {
    rows: rows.length,
    seqLen,
    tokens: zeros,
    targets: zeros,
    weights,
    positions: zeros,
    segments,
  };
};

/** Whether the group's windows and masks let `query` see `key` of the row. */
const sees = (
  { windows, masks }: RowGroup,
  row: number,
  [query, key]: readonly [number, number],
) => {
  const i = windows.findIndex(({ queries }) => query >= queries[0] && query < queries[1]);
  const window = windows[i];
  if (!window || key < window.keys[0] || key >= window.keys[1]) return false;
  const width = window.keys[1] - window.keys[0];
  const count = window.queries[1] - window.queries[0];
  const at = (row * count + query - window.queries[0]) * width + key - window.keys[0];
  return masks[i]?.[at] === 0;
};

const seqLens = [64, 128, 192, 320];

describe('rowGroups', () => {
  it('lets a token see the earlier tokens of its example within the window, and nothing else', () => {
    const lengths = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 0, maxLength: 6 });
    fc.assert(
      fc.property(
        fc.array(lengths, { minLength: 1, maxLength: 5 }),
        fc.constantFrom(...seqLens),
        fc.option(fc.integer({ min: 1, max: 150 })),
        fc.nat(1000),
        (rows, seqLen, slidingWindow, salt) => {
          const batch = batchOf(rows, seqLen);
          for (const group of rowGroups(batch, slidingWindow)) {
            for (let sample = 0; sample < 200; sample++) {
              const row = sample % group.batch.rows;
              const query = (salt + 37 * sample) % seqLen;
              const key = (3 * salt + 53 * sample) % seqLen;
              const segment = (step: number) => group.batch.segments[row * seqLen + step];
              const visible =
                key <= query &&
                segment(key) === segment(query) &&
                query - key < (slidingWindow ?? seqLen);
              expect(sees(group, row, [query, key])).toBe(visible);
              expect(sees(group, row, [query, query])).toBe(true);
            }
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it('covers every row once, in order, a bounded number of tokens at a time', () => {
    const groups = rowGroups(
      batchOf(
        Array.from({ length: 7 }, () => [100]),
        128,
      ),
      null,
    );
    expect(groups.map(({ firstRow, batch }) => [firstRow, batch.rows])).toEqual([
      [0, 4],
      [4, 3],
    ]);
  });

  it('looks back less for short examples, so that their graphs do less', () => {
    const [short] = rowGroups(batchOf([[90, 80, 100, 60, 90]], 448), null);
    const [long] = rowGroups(batchOf([[448]], 448), null);
    expect(short?.windows.at(-1)?.keys).toEqual([256, 448]);
    expect(long?.windows.at(-1)?.keys).toEqual([0, 448]);
  });
});
