// How a packed batch is laid out for attention: which keys each block of queries looks at, the masks
// that keep examples apart, and how many rows are worked on together. The masks are made once for a
// batch and shared by all layers.
import type { AttentionWindow } from '../nn/attention.ts';
import type { PackedBatch } from './causal-lm.ts';

/** Queries of one block: smaller wastes less of the square, larger multiplies more efficiently. */
const queryBlock = (steps: number): number => (steps <= 1024 ? 128 : 256);

/** Keys before a block that are looked at when every example that crosses into a block is short. */
const shortLookback = 128;

/**
 * Tokens of the rows worked on together. Products with weights are as fast at 512 rows as at more, and
 * kept activations grow with it, so a larger batch runs row after row.
 */
const tokensAtOnce = 512;

/** Added to the score of a key that a query must not see; its probability is exactly 0. */
const hidden = -1e9;

/** Sequences are padded to a multiple of this, so that few shapes of graphs are made. */
export const stepMultiple = 64;

/** One example alone, padded. */
export const singleRow = (tokens: Int32Array): PackedBatch => {
  const seqLen = Math.ceil(tokens.length / stepMultiple) * stepMultiple;
  const padded = new Int32Array(seqLen);
  padded.set(tokens);
  return {
    rows: 1,
    seqLen,
    tokens: padded,
    targets: new Int32Array(seqLen),
    weights: new Float32Array(seqLen),
    positions: Int32Array.from({ length: seqLen }, (_, i) => i),
    segments: Int32Array.from({ length: seqLen }, (_, i) => (i < tokens.length ? 0 : -1)),
  };
};

/** What the shape of the graphs depends on. */
export interface BatchShape {
  readonly rows: number;
  readonly steps: number;
  /** Keys before each block of queries. */
  readonly lookback: number;
}

export const attentionWindows = ({ steps, lookback }: BatchShape): AttentionWindow[] => {
  const block = queryBlock(steps);
  return Array.from({ length: Math.ceil(steps / block) }, (_, i) => {
    const start = i * block;
    const end = Math.min(start + block, steps);
    return { queries: [start, end], keys: [Math.max(0, start - lookback), end] };
  });
};

/** Where the example of each token begins in its row, [B · T]. */
const exampleStarts = ({ segments, seqLen }: PackedBatch): Int32Array => {
  const starts = new Int32Array(segments.length);
  for (let i = 1; i < segments.length; i++) {
    const step = i % seqLen;
    const goesOn = step > 0 && segments[i] === segments[i - 1];
    starts[i] = goesOn ? (starts[i - 1] ?? 0) : step;
  }
  return starts;
};

/** The first key that each token sees, [B · T]. */
const firstKeys = (batch: PackedBatch, slidingWindow: number | null): Int32Array => {
  const starts = exampleStarts(batch);
  if (slidingWindow === null) return starts;
  return starts.map((start, i) => Math.max(start, (i % batch.seqLen) - slidingWindow + 1));
};

/** Rows [first, first + count) of a batch. */
const sliceRows = (batch: PackedBatch, first: number, count: number): PackedBatch => {
  const part = <T extends Int32Array | Float32Array>(array: T): T =>
    array.subarray(first * batch.seqLen, (first + count) * batch.seqLen) as T;
  return {
    rows: count,
    seqLen: batch.seqLen,
    tokens: part(batch.tokens),
    targets: part(batch.targets),
    weights: part(batch.weights),
    positions: part(batch.positions),
    segments: part(batch.segments),
  };
};

/** Rows that are worked on together. */
export interface RowGroup {
  readonly firstRow: number;
  readonly batch: PackedBatch;
  readonly shape: BatchShape;
  readonly windows: readonly AttentionWindow[];
  /** For each window [B, 1, queries, keys]. */
  readonly masks: readonly Float32Array[];
}

const buildMask = (
  { rows, seqLen }: PackedBatch,
  { queries, keys }: AttentionWindow,
  first: Int32Array,
): Float32Array => {
  const width = keys[1] - keys[0];
  const count = queries[1] - queries[0];
  const mask = new Float32Array(rows * count * width).fill(hidden);
  for (let row = 0; row < rows; row++) {
    for (let query = queries[0]; query < queries[1]; query++) {
      const line = (row * count + query - queries[0]) * width - keys[0];
      mask.fill(0, line + (first[row * seqLen + query] ?? 0), line + query + 1);
    }
  }
  return mask;
};

/** Rows worked on together, and the shape of their graphs. */
interface RowPart {
  readonly firstRow: number;
  readonly batch: PackedBatch;
  readonly first: Int32Array;
  readonly shape: BatchShape;
}

const partAt = (batch: PackedBatch, firstRow: number, slidingWindow: number | null): RowPart => {
  const first = firstKeys(batch, slidingWindow);
  const block = queryBlock(batch.seqLen);
  let needed = 0;
  for (let i = 0; i < first.length; i++) {
    const step = i % batch.seqLen;
    needed = Math.max(needed, Math.floor(step / block) * block - (first[i] ?? 0));
  }
  const lookback = needed <= shortLookback ? shortLookback : batch.seqLen;
  return { firstRow, batch, first, shape: { rows: batch.rows, steps: batch.seqLen, lookback } };
};

const rowParts = (batch: PackedBatch, slidingWindow: number | null): RowPart[] => {
  const limit = Math.max(1, Math.floor(tokensAtOnce / batch.seqLen));
  const size = Math.ceil(batch.rows / Math.ceil(batch.rows / limit));
  return Array.from({ length: Math.ceil(batch.rows / size) }, (_, i) => {
    const firstRow = i * size;
    const count = Math.min(size, batch.rows - firstRow);
    return partAt(sliceRows(batch, firstRow, count), firstRow, slidingWindow);
  });
};

/** What `rowGroups` will be made of, without the masks: for counting. */
export const groupShapes = (
  batch: PackedBatch,
  slidingWindow: number | null,
): Pick<RowPart, 'batch' | 'shape'>[] => rowParts(batch, slidingWindow);

/** The batch as groups of rows, in order. */
export const rowGroups = (batch: PackedBatch, slidingWindow: number | null): RowGroup[] =>
  rowParts(batch, slidingWindow).map(({ first, ...part }) => {
    const windows = attentionWindows(part.shape);
    const masks = windows.map((window) => buildMask(part.batch, window, first));
    return { ...part, windows, masks };
  });
