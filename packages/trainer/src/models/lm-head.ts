// The language-model head over the rows that count: scored rows are gathered, worked through in chunks
// of fixed size (the last one padded with rows of weight 0), and their gradients put back in place.
// Assistant-only loss scores about half of the rows, and the head is a fifth of a small model's work.
import type { ModelConfig } from '@corral/formats';
import { lower } from '../onnx/lower.ts';
import type { HostTensors, Runtime, Session } from '../runtime/runtime.ts';
import { hostTensor } from '../runtime/runtime.ts';
import { buildHeadGraphs } from './head-graphs.ts';
import type { HeadGraphs } from './head-graphs.ts';
import type { StoredTensor } from './model-tensors.ts';
import { accumulate, createWorkspace } from './workspace.ts';

const chunkSizes = [16, 32, 64, 128, 256, 512];

/** Bounds the logits of a chunk, and again its probabilities: 128 rows of a 49k vocabulary. */
const maxLogitBytes = 32 * 2 ** 20;

/** How many rows to take at once of so many: the smallest size that holds them, or the largest allowed. */
const chunkSizer = (vocabulary: number): ((rows: number) => number) => {
  const allowed = chunkSizes.filter((size) => 4 * size * vocabulary <= maxLogitBytes);
  const largest = allowed.at(-1) ?? 1;
  return (rows) => allowed.find((size) => size >= rows) ?? largest;
};

interface HeadTargets {
  /** Hidden states after the last layer [M, D]. */
  readonly hidden: Float32Array;
  /** [M] */
  readonly targets: Int32Array;
  /** [M]; rows of weight 0 are skipped. */
  readonly weights: Float32Array;
}

export interface HeadResult {
  readonly lossSum: number;
  readonly weightSum: number;
  readonly correct: number;
  readonly scored: number;
}

export interface LmHead {
  evaluate(targets: HeadTargets): Promise<HeadResult>;
  /**
   * Adds lossScale · d(lossSum) to the gradients of norm and table when these are trainable.
   * @returns also d hidden [M, D]; valid until the next call
   */
  train(targets: HeadTargets, lossScale: number): Promise<HeadResult & { dHidden: Float32Array }>;
  /** Logits [V] of each row of hidden states [R, D]. */
  logits(hidden: Float32Array): Promise<Float32Array[]>;
}

export interface LmHeadOptions {
  readonly config: ModelConfig;
  readonly norm: StoredTensor;
  readonly table: StoredTensor;
  readonly runtime: Runtime;
}

type Pass = keyof HeadGraphs;

/** A padded chunk of scored rows. */
interface Chunk {
  /** Indices of its rows among all. */
  readonly rows: readonly number[];
  readonly size: number;
}

const scoredChunks = (weights: Float32Array, sizeFor: (rows: number) => number): Chunk[] => {
  const scored: number[] = [];
  for (let i = 0; i < weights.length; i++) if (weights[i] !== 0) scored.push(i);
  const chunks: Chunk[] = [];
  for (let start = 0; start < scored.length;) {
    const size = sizeFor(scored.length - start);
    chunks.push({ rows: scored.slice(start, start + size), size });
    start += size;
  }
  return chunks;
};

export const createLmHead = ({ config, norm, table, runtime }: LmHeadOptions): LmHead => {
  const { hidden_size: d, vocab_size: vocabulary } = config;
  const trainable = table.grad !== null;
  const workspace = createWorkspace();
  const sizeFor = chunkSizer(vocabulary);
  const sessions = new Map<string, Promise<Session>>();
  const weights: HostTensors = { norm: norm.tensor, table: table.tensor };

  const sessionFor = (pass: Pass, rows: number): Promise<Session> => {
    const key = `${pass} ${rows}`;
    const graphs = () => buildHeadGraphs(config, { rows, trainable });
    const session = sessions.get(key) ?? runtime.createSession(lower(graphs()[pass]));
    sessions.set(key, session);
    return session;
  };

  const gather = ({ rows, size }: Chunk, hidden: Float32Array): Float32Array => {
    const x = workspace.floats('x', size * d).fill(0);
    for (const [i, row] of rows.entries()) x.set(hidden.subarray(row * d, (row + 1) * d), i * d);
    return x;
  };
  const inputsOf = (chunk: Chunk, { hidden, targets }: HeadTargets): HostTensors => {
    const labels = new BigInt64Array(chunk.size);
    for (const [i, row] of chunk.rows.entries()) labels[i] = BigInt(targets[row] ?? 0);
    return {
      ...weights,
      x: hostTensor(gather(chunk, hidden), [chunk.size, d]),
      labels: hostTensor(labels, [chunk.size]),
    };
  };
  const column = (name: string, size: number): Float32Array => workspace.floats(name, size);
  const sumUp = (chunks: readonly Chunk[], perRow: Float32Array, all: Float32Array): HeadResult => {
    let [lossSum, weightSum, correct, scored] = [0, 0, 0, 0];
    for (const { rows } of chunks) {
      for (const row of rows) {
        const weight = all[row] ?? 0;
        lossSum += weight * (perRow[2 * row] ?? 0);
        weightSum += weight;
        correct += perRow[2 * row + 1] ?? 0;
        scored += 1;
      }
    }
    return { lossSum, weightSum, correct, scored };
  };

  /** Loss and hit of each row, [M, 2], written by every pass over a chunk. */
  const note = ({ rows, size }: Chunk, perRow: Float32Array): void => {
    const loss = column('loss', size);
    const right = column('right', size);
    for (const [i, row] of rows.entries()) {
      perRow[2 * row] = loss[i] ?? 0;
      perRow[2 * row + 1] = right[i] ?? 0;
    }
  };
  const resultsOf = (size: number): HostTensors => ({
    loss: hostTensor(column('loss', size), [size, 1]),
    right: hostTensor(column('right', size), [size, 1]),
  });

  const evaluate: LmHead['evaluate'] = async (targets) => {
    const chunks = scoredChunks(targets.weights, sizeFor);
    const perRow = workspace.floats('per row', 2 * targets.weights.length);
    for (const chunk of chunks) {
      const session = await sessionFor('evaluate', chunk.size);
      await session.run(inputsOf(chunk, targets), resultsOf(chunk.size));
      note(chunk, perRow);
    }
    return sumUp(chunks, perRow, targets.weights);
  };

  const train: LmHead['train'] = async (targets, lossScale) => {
    const chunks = scoredChunks(targets.weights, sizeFor);
    const perRow = workspace.floats('per row', 2 * targets.weights.length);
    const dHidden = workspace.floats('d hidden', targets.hidden.length).fill(0);
    for (const chunk of chunks) {
      const { rows, size } = chunk;
      const session = await sessionFor('train', size);
      const dloss = column('dloss', size).fill(0);
      for (const [i, row] of rows.entries()) dloss[i] = lossScale * (targets.weights[row] ?? 0);
      const dx = workspace.floats('dx', size * d);
      const dNorm = workspace.floats('d_norm', trainable ? d : 0);
      const dTable = workspace.floats('d_table', trainable ? vocabulary * d : 0);
      const feeds = { ...inputsOf(chunk, targets), dloss: hostTensor(dloss, [size, 1]) };
      await session.run(feeds, {
        ...resultsOf(size),
        dx: hostTensor(dx, [size, d]),
        ...(trainable && {
          d_norm: hostTensor(dNorm, norm.shape),
          d_table: hostTensor(dTable, table.shape),
        }),
      });
      note(chunk, perRow);
      for (const [i, row] of rows.entries()) dHidden.set(dx.subarray(i * d, (i + 1) * d), row * d);
      if (norm.grad) accumulate(norm.grad, dNorm);
      if (table.grad) accumulate(table.grad, dTable);
    }
    return { ...sumUp(chunks, perRow, targets.weights), dHidden };
  };

  const logits: LmHead['logits'] = async (hidden) => {
    const found: Float32Array[] = [];
    const count = hidden.length / d;
    for (let start = 0; start < count; start += found.length - start) {
      const size = sizeFor(count - start);
      const rows = Array.from({ length: Math.min(size, count - start) }, (_, i) => start + i);
      const session = await sessionFor('logits', size);
      const out = workspace.floats('logits', size * vocabulary);
      const x = hostTensor(gather({ rows, size }, hidden), [size, d]);
      await session.run({ ...weights, x }, { logits: hostTensor(out, [size, vocabulary]) });
      for (const i of rows.keys()) found.push(out.slice(i * vocabulary, (i + 1) * vocabulary));
    }
    return found;
  };

  return { evaluate, train, logits };
};
