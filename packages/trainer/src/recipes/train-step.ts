// One optimiser step's gradients, and the loss over held-out examples. The maths that methods share: a
// step's loss is the mean over its loss tokens, over all micro batches together, so neither packing nor
// gradient accumulation changes it.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { CorralError } from '@corral/contracts';
import { type ExampleStore, totalWeight } from '../data/data-set.ts';
import { buildBatch, inputLength, packRows } from '../data/packing.ts';
import type { BatchResult, CausalLm, PackedBatch } from '../models/causal-lm.ts';
import type { Run } from './run.ts';

export type Layout = Pick<Run['config']['data'], 'packing'> & {
  readonly contextLength: number;
  /** Examples that stay in one row and are counted as one: item i is examples i · n to i · n + n − 1. */
  readonly examplesPerItem: number;
};

export interface StepResult {
  /** What is minimised: the mean negative log-likelihood of a loss token (natural log), or a method's own. */
  readonly loss: number;
  readonly tokenAccuracy: number;
  /** Tokens fed, without padding. */
  readonly tokens: number;
  /** Preference methods: share of pairs whose better answer is rated higher, and by how much. */
  readonly rewards?: { readonly accuracy: number; readonly margin: number };
}

/** The examples of an item. */
const examplesOf = (item: number, { examplesPerItem: count }: Layout): number[] =>
  Array.from({ length: count }, (_, index) => item * count + index);

/** Lays the given items out as one batch, and says which stand in each row. */
export function layOutRows(
  store: ExampleStore,
  items: readonly number[],
  layout: Layout,
): { batch: PackedBatch; items: number[][] } {
  const groups = items.map((item) => examplesOf(item, layout).map((index) => store.get(index)));
  const lengths = groups.map((group) => group.reduce((sum, each) => sum + inputLength(each), 0));
  const { rows, seqLen } = packRows(lengths, layout);
  const examplesIn = (row: readonly number[]): number[] =>
    row.flatMap((place) => examplesOf(place, layout));
  return {
    batch: buildBatch(groups.flat(), { rows: rows.map(examplesIn), seqLen }),
    items: rows.map((row) => row.map((place) => items[place] ?? 0)),
  };
}

/** Lays the given items out as one batch. */
export const layOut = (
  store: ExampleStore,
  items: readonly number[],
  layout: Layout,
): PackedBatch => layOutRows(store, items, layout).batch;

function summarise(results: readonly BatchResult[]): StepResult {
  const sum = (key: Exclude<keyof BatchResult, 'exampleLosses'>): number =>
    results.reduce((total, result) => total + result[key], 0);
  return {
    loss: sum('lossSum') / sum('weightSum'),
    tokenAccuracy: sum('correct') / Math.max(1, sum('scored')),
    tokens: sum('tokens'),
  };
}

/** The examples of one optimiser step. */
export interface StepInputs {
  readonly store: ExampleStore;
  /** Items of the store (Layout.examplesPerItem). */
  readonly microBatches: readonly (readonly number[])[];
}

/** Adds the gradient of one step's mean loss to the model's parameters. */
export async function accumulateGradients(
  model: CausalLm,
  { store, microBatches }: StepInputs,
  { layout, step }: { layout: Layout; step: number },
): Promise<StepResult> {
  const lossScale = 1 / totalWeight(store, microBatches.flat());
  const results: BatchResult[] = [];
  for (const indices of microBatches) {
    results.push(await model.forwardBackward(layOut(store, indices, layout), { lossScale, step }));
    // The maths blocks this thread; signals and output get their turn here.
    await nextTurn();
  }
  return summarise(results);
}

/** Loss over all examples of a store, in batches of `batchSize`. `onBatch` may throw to stop. */
export async function evaluateStore(
  model: CausalLm,
  store: ExampleStore,
  { layout, batchSize, onBatch }: { layout: Layout; batchSize: number; onBatch: () => void },
): Promise<StepResult> {
  const results: BatchResult[] = [];
  for (let first = 0; first < store.count; first += batchSize) {
    const count = Math.min(batchSize, store.count - first);
    const indices = Array.from({ length: count }, (_, index) => first + index);
    results.push(await model.evaluate(layOut(store, indices, layout)));
    await nextTurn();
    onBatch();
  }
  return summarise(results);
}

/** Far above the loss of guessing (ln V): nothing useful comes after it. */
const divergedFactor = 4;

/** Stops a run whose numbers are lost. Throws CorralError `training_diverged` with step and rows. */
export function requireSane(
  { loss, gradNorm }: { loss: number; gradNorm: number },
  {
    model,
    store,
    microBatches,
    step,
    layout,
  }: StepInputs & { model: CausalLm; step: number; layout: Layout },
): void {
  const limit = divergedFactor * Math.log(model.config.vocab_size);
  const finite = Number.isFinite(loss) && Number.isFinite(gradNorm);
  if (finite && loss <= limit) return;
  const reason = finite
    ? `the loss is ${loss.toFixed(2)}, far above guessing`
    : Number.isFinite(loss)
      ? 'the gradient is not finite'
      : 'the loss is not finite';
  const examples = microBatches.flat().flatMap((item) => examplesOf(item, layout));
  const rows = [...new Set(examples.map((index) => store.rowOf(index)))];
  const shown = rows.slice(0, 20).join(', ') + (rows.length > 20 ? ', …' : '');
  throw new CorralError('training_diverged', {
    params: { step: step + 1, reason, rows: shown },
    details: {
      step: step + 1,
      rows: rows.slice(0, 100),
      loss: String(loss),
      grad_norm: String(gradNorm),
    },
  });
}
