// Examples into rows of a batch. Layout only: attention is block-diagonal and positions start again, so
// what shares a row with what never changes a number, only the time it takes.
import type { PackedBatch } from '../models/causal-lm.ts';
import type { EncodedExample } from './encode.ts';

/** Rows are padded to multiples of these, short and long ones. */
const shortMultiple = 64;
const longMultiple = 128;
const longFrom = 256;

/**
 * What fits becomes one row of at most this many positions; more becomes rows of about that length. Every
 * shape of a batch costs graphs and their memory, and products with weights gain nothing beyond it.
 */
const favouredLength = 512;

export interface Packing {
  /** Indices of the examples of each row. */
  readonly rows: readonly (readonly number[])[];
  /** T: the smallest multiple of 64 that holds the longest row. */
  readonly seqLen: number;
}

/** Positions an example takes: its last token is only ever a target. */
export const inputLength = ({ tokens }: Pick<EncodedExample, 'tokens'>): number =>
  tokens.length - 1;

const roundUp = (length: number): number => {
  const multiple = length <= longFrom ? shortMultiple : longMultiple;
  return Math.max(shortMultiple, Math.ceil(length / multiple) * multiple);
};

/** First-fit in the given order: each example into the first row with room. */
function firstFit(lengths: readonly number[], capacity: number): number[][] {
  const rows: number[][] = [];
  const room: number[] = [];
  lengths.forEach((length, index) => {
    let row = room.findIndex((left) => left >= length);
    if (row < 0) {
      row = rows.length;
      rows.push([]);
      room.push(capacity);
    }
    rows[row]?.push(index);
    room[row] = (room[row] ?? 0) - length;
  });
  return rows;
}

const measure = (rows: readonly (readonly number[])[], lengths: readonly number[]): Packing => ({
  rows,
  seqLen: roundUp(
    Math.max(...rows.map((row) => row.reduce((sum, index) => sum + (lengths[index] ?? 0), 0))),
  ),
});

/**
 * Rough cost of a layout in units of one position through the linear layers: attention grows with T,
 * and reaches about a third of a step at T = 2048 for the smallest models.
 */
const cost = ({ rows, seqLen }: Packing): number => rows.length * seqLen * (1 + seqLen / 4096);

/**
 * Packs examples of the given input lengths into rows of at most `contextLength` positions: one row where
 * all fit in a favoured length, else the cheapest of the row lengths up to the context. Without packing
 * each example has its own row.
 */
export function packRows(
  lengths: readonly number[],
  { contextLength, packing }: { readonly contextLength: number; readonly packing: boolean },
): Packing {
  if (!packing) {
    return measure(
      lengths.map((_, index) => [index]),
      lengths,
    );
  }
  const longest = Math.max(...lengths);
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const limit = Math.max(contextLength, longest);
  if (total <= Math.min(limit, favouredLength)) {
    return measure([lengths.map((_, index) => index)], lengths);
  }
  let best = measure(
    firstFit(lengths, Math.max(longest, Math.min(limit, favouredLength))),
    lengths,
  );
  const first = Math.max(roundUp(longest), favouredLength - longMultiple);
  for (let capacity = first; capacity <= limit; capacity += longMultiple) {
    const candidate = measure(firstFit(lengths, capacity), lengths);
    if (cost(candidate) < cost(best)) best = candidate;
    if (candidate.rows.length === 1) break;
  }
  return best;
}

/** Lays examples out as a batch: shifted targets, positions from 0, one segment an example. */
export function buildBatch(examples: readonly EncodedExample[], packing: Packing): PackedBatch {
  const { rows, seqLen } = packing;
  const size = rows.length * seqLen;
  const batch = {
    rows: rows.length,
    seqLen,
    tokens: new Int32Array(size),
    targets: new Int32Array(size),
    weights: new Float32Array(size),
    positions: new Int32Array(size),
    segments: new Int32Array(size).fill(-1),
  };
  rows.forEach((row, rowIndex) => {
    let at = rowIndex * seqLen;
    row.forEach((index, segment) => {
      const example = examples[index];
      if (!example) return;
      const { tokens, weights } = example;
      const length = inputLength(example);
      batch.tokens.set(tokens.subarray(0, length), at);
      batch.targets.set(tokens.subarray(1), at);
      batch.weights.set(weights.subarray(1), at);
      for (let i = 0; i < length; i += 1) batch.positions[at + i] = i;
      batch.segments.fill(segment, at, at + length);
      at += length;
    });
  });
  return batch;
}
