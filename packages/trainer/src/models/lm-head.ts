// The language-model head over the rows that count: scored rows are gathered, worked through in chunks
// of fixed size (the last one padded with rows of weight 0), and their gradients put back in place.
// Assistant-only loss scores about half of the rows, and the head is a fifth of a small model's work.
import type { ModelConfig } from '@corral/formats';
import { lower } from '../onnx/lower.ts';
import type { HostTensor, HostTensors, Runtime, Session } from '../runtime/runtime.ts';
import { hostTensor } from '../runtime/runtime.ts';
import { buildHeadGraphs, tileName, vocabularyTiles } from './head-graphs.ts';
import type { HeadGraphs } from './head-graphs.ts';
import type { StoredTensor } from './model-tensors.ts';
import type { Workspace } from './workspace.ts';
import { accumulate, createWorkspace } from './workspace.ts';

const chunkSizes = [16, 32, 64, 128, 256, 512];

/** Bounds the logits of a chunk where a whole row of them exists: 128 rows of a 49k vocabulary. */
const maxLogitBytes = 32 * 2 ** 20;

/** What reading the table costs, in rows: a chunk of 128 took 17 ms longer than a quarter of one of 512. */
const rowsOfAPass = 30;

/** The first of the chunks into which so many rows are cut: of all ways the one that computes least. */
const chunkSizer = (allowed: readonly number[]): ((rows: number) => number) => {
  const largest = allowed.at(-1) ?? 1;
  const known = new Map<number, { size: number; cost: number }>();
  const cheapest = (rows: number): { size: number; cost: number } => {
    // Many rows begin with the largest chunk in any case.
    if (rows > largest) return { size: largest, cost: largest + rowsOfAPass };
    const found = known.get(rows);
    if (found) return found;
    let best = { size: largest, cost: largest + rowsOfAPass };
    for (const size of allowed) {
      const rest = rows > size ? cheapest(rows - size).cost : 0;
      const cost = size + rowsOfAPass + rest;
      if (cost < best.cost) best = { size, cost };
    }
    known.set(rows, best);
    return best;
  };
  return (rows) => cheapest(rows).size;
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
  /** [M] negative log-likelihood of each scored row's target, 0 elsewhere. */
  readonly losses: Float32Array;
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

export type Pass = keyof HeadGraphs;

/** A padded chunk of scored rows. */
interface Chunk {
  /** Indices of its rows among all. */
  readonly rows: readonly number[];
  readonly size: number;
}

interface Head extends LmHeadOptions {
  readonly workspace: Workspace;
  /** The rows of the table that each tile has, and their tensors by name. */
  readonly tiles: readonly (readonly [start: number, end: number])[];
  readonly tileFeeds: HostTensors;
  readonly sizeFor: Record<Pass, (rows: number) => number>;
  readonly sessionFor: (pass: Pass, rows: number) => Promise<Session>;
}

const cutIntoChunks = (rows: readonly number[], sizeFor: (rows: number) => number): Chunk[] => {
  const chunks: Chunk[] = [];
  for (let start = 0; start < rows.length;) {
    const size = sizeFor(rows.length - start);
    chunks.push({ rows: rows.slice(start, start + size), size });
    start += size;
  }
  return chunks;
};

const scoredRows = (weights: Float32Array): number[] =>
  Array.from(weights.keys()).filter((row) => weights[row] !== 0);

/** The chunk's hidden states and the final norm. */
const hiddenFeeds = (head: Head, { rows, size }: Chunk, hidden: Float32Array): HostTensors => {
  const d = head.config.hidden_size;
  const x = head.workspace.floats('x', size * d).fill(0);
  for (const [i, row] of rows.entries()) x.set(hidden.subarray(row * d, (row + 1) * d), i * d);
  return { x: hostTensor(x, [size, d]), norm: head.norm.tensor };
};

/** The whole table, and the labels as its rows. */
const tableFeeds = (head: Head, { rows, size }: Chunk, targets: Int32Array): HostTensors => {
  const labels = new BigInt64Array(size);
  for (const [i, row] of rows.entries()) labels[i] = BigInt(targets[row] ?? 0);
  return { table: head.table.tensor, labels: hostTensor(labels, [size]) };
};

/** The table in tiles, and for each row its label as a row of one of them. */
const tileFeeds = (head: Head, { rows, size }: Chunk, targets: Int32Array): HostTensors => {
  const { tiles, workspace } = head;
  const labels = new BigInt64Array(tiles.length * size);
  const inside = workspace.floats('inside', size * tiles.length).fill(0);
  for (const [i, row] of rows.entries()) {
    const target = targets[row] ?? 0;
    const tile = tiles.findIndex(([, end]) => target < end);
    labels[tile * size + i] = BigInt(target - (tiles[tile]?.[0] ?? 0));
    inside[i * tiles.length + tile] = 1;
  }
  return {
    ...head.tileFeeds,
    labels: hostTensor(labels, [labels.length]),
    inside: hostTensor(inside, [size, tiles.length]),
  };
};

const labelRows = (head: Head, { rows, size }: Chunk, targets: Int32Array): HostTensor => {
  const d = head.config.hidden_size;
  const found = head.workspace.floats('label rows', size * d).fill(0);
  for (const [i, row] of rows.entries()) {
    const target = targets[row] ?? 0;
    found.set(head.table.data.subarray(target * d, (target + 1) * d), i * d);
  }
  return hostTensor(found, [size, d]);
};

/** One number for each row of a chunk. */
const column = ({ workspace }: Head, name: string, { size }: Chunk): HostTensor =>
  hostTensor(workspace.floats(name, size), [size, 1]);

const numbers = (tensor: HostTensor): Float32Array => tensor.data as Float32Array;

const emptyResult = (rows: number): HeadResult => ({
  lossSum: 0,
  weightSum: 0,
  correct: 0,
  scored: 0,
  losses: new Float32Array(rows),
});

/** Adds a chunk's losses and hits, row by row in order, in float64. */
const addChunk = (
  sum: HeadResult,
  { rows }: Chunk,
  { loss, right, weights }: { loss: HostTensor; right: HostTensor; weights: Float32Array },
): HeadResult => {
  let { lossSum, weightSum, correct } = sum;
  const { losses } = sum;
  for (const [i, row] of rows.entries()) {
    const weight = weights[row] ?? 0;
    losses[row] = numbers(loss)[i] ?? 0;
    lossSum += weight * (numbers(loss)[i] ?? 0);
    weightSum += weight;
    correct += numbers(right)[i] ?? 0;
  }
  return { lossSum, weightSum, correct, scored: sum.scored + rows.length, losses };
};

const evaluateRows = async (head: Head, targets: HeadTargets): Promise<HeadResult> => {
  const { hidden, weights } = targets;
  let sum = emptyResult(weights.length);
  for (const chunk of cutIntoChunks(scoredRows(weights), head.sizeFor.evaluate)) {
    const session = await head.sessionFor('evaluate', chunk.size);
    const [loss, right] = [column(head, 'loss', chunk), column(head, 'right', chunk)];
    const feeds = {
      ...hiddenFeeds(head, chunk, hidden),
      ...tileFeeds(head, chunk, targets.targets),
    };
    await session.run(feeds, { loss, right });
    sum = addChunk(sum, chunk, { loss, right, weights });
  }
  return sum;
};

/** What a training pass takes beside hidden states: a table that is trained too has to be there whole. */
const trainingFeeds = (head: Head, chunk: Chunk, targets: Int32Array): HostTensors =>
  head.table.grad
    ? tableFeeds(head, chunk, targets)
    : { ...tileFeeds(head, chunk, targets), label_rows: labelRows(head, chunk, targets) };

/** Where the gradients of norm and table are computed before they are added up. */
const weightGradients = ({ norm, table, workspace }: Head): HostTensors => {
  if (!norm.grad || !table.grad) return {};
  return {
    d_norm: hostTensor(workspace.floats('d_norm', norm.grad.length), norm.shape),
    d_table: hostTensor(workspace.floats('d_table', table.grad.length), table.shape),
  };
};

const trainRows = async (
  head: Head,
  { hidden, targets, weights }: HeadTargets,
  lossScale: number,
): Promise<HeadResult & { dHidden: Float32Array }> => {
  const d = head.config.hidden_size;
  const dHidden = head.workspace.floats('d hidden', hidden.length).fill(0);
  const grads = weightGradients(head);
  const pass = head.table.grad ? 'trainAll' : 'train';
  let sum = emptyResult(weights.length);
  for (const chunk of cutIntoChunks(scoredRows(weights), head.sizeFor[pass])) {
    const session = await head.sessionFor(pass, chunk.size);
    const dloss = column(head, 'dloss', chunk);
    numbers(dloss).fill(0);
    for (const [i, row] of chunk.rows.entries())
      numbers(dloss)[i] = lossScale * (weights[row] ?? 0);
    const [loss, right] = [column(head, 'loss', chunk), column(head, 'right', chunk)];
    const dx = head.workspace.floats('dx', chunk.size * d);
    const feeds = {
      ...hiddenFeeds(head, chunk, hidden),
      ...trainingFeeds(head, chunk, targets),
      dloss,
    };
    await session.run(feeds, { loss, right, dx: hostTensor(dx, [chunk.size, d]), ...grads });
    sum = addChunk(sum, chunk, { loss, right, weights });
    for (const [i, row] of chunk.rows.entries()) {
      dHidden.set(dx.subarray(i * d, (i + 1) * d), row * d);
    }
    const { d_norm, d_table } = grads;
    if (head.norm.grad && d_norm) accumulate(head.norm.grad, numbers(d_norm));
    if (head.table.grad && d_table) accumulate(head.table.grad, numbers(d_table));
  }
  return { ...sum, dHidden };
};

const logitsOfRows = async (head: Head, hidden: Float32Array): Promise<Float32Array[]> => {
  const { hidden_size: d, vocab_size: vocabulary } = head.config;
  const rows = Array.from({ length: hidden.length / d }, (_, row) => row);
  const found: Float32Array[] = [];
  for (const chunk of cutIntoChunks(rows, head.sizeFor.logits)) {
    const session = await head.sessionFor('logits', chunk.size);
    const out = head.workspace.floats('logits', chunk.size * vocabulary);
    const logits = hostTensor(out, [chunk.size, vocabulary]);
    const feeds = { ...hiddenFeeds(head, chunk, hidden), table: head.table.tensor };
    await session.run(feeds, { logits });
    for (const i of chunk.rows.keys()) {
      found.push(out.slice(i * vocabulary, (i + 1) * vocabulary));
    }
  }
  return found;
};

const tensorsOfTiles = (
  { data, shape }: StoredTensor,
  tiles: readonly (readonly [number, number])[],
): HostTensors => {
  const width = shape[1] ?? 0;
  return Object.fromEntries(
    tiles.map(([start, end], i) => [
      tileName(i),
      hostTensor(data.subarray(start * width, end * width), [end - start, width]),
    ]),
  );
};

const chunkSizers = ({ vocab_size: vocabulary }: ModelConfig): Head['sizeFor'] => {
  const inTiles = chunkSizer(chunkSizes);
  const whole = chunkSizer(chunkSizes.filter((size) => 4 * size * vocabulary <= maxLogitBytes));
  return { evaluate: inTiles, train: inTiles, trainAll: whole, logits: whole };
};

/** The sizes of the chunks that so many scored rows are cut into: each has a session of its own. */
export const chunkSizesOf = (config: ModelConfig, pass: Pass, scored: number): number[] => {
  const sizeFor = chunkSizers(config)[pass];
  const rows = Array.from({ length: scored }, (_, row) => row);
  return [...new Set(cutIntoChunks(rows, sizeFor).map(({ size }) => size))];
};

export const createLmHead = (options: LmHeadOptions): LmHead => {
  const { config, table, runtime } = options;
  const sessions = new Map<string, Promise<Session>>();
  const tiles = vocabularyTiles(config);
  const head: Head = {
    ...options,
    workspace: createWorkspace(),
    tiles,
    tileFeeds: tensorsOfTiles(table, tiles),
    sizeFor: chunkSizers(config),
    sessionFor(pass, rows) {
      const key = `${pass} ${rows}`;
      const make = () => runtime.createSession(lower(buildHeadGraphs(config, rows)[pass]));
      const session = sessions.get(key) ?? make();
      sessions.set(key, session);
      return session;
    },
  };
  return {
    evaluate: (targets) => evaluateRows(head, targets),
    train: (targets, lossScale) => trainRows(head, targets, lossScale),
    logits: (hidden) => logitsOfRows(head, hidden),
  };
};
