// One optimiser step's gradients, and the loss over held-out examples. The maths that methods share: a
// step's loss is the mean over its loss tokens, over all micro batches together, so neither packing nor
// gradient accumulation changes it.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type ExampleStore, totalWeight } from '../data/data-set.ts';
import type { BatchResult, CausalLm } from '../models/causal-lm.ts';
import { requireFinite } from './divergence.ts';
import { type Layout, layOut } from './layout.ts';

export interface StepResult {
  /** What is minimised: the mean negative log-likelihood of a loss token (natural log), or a method's own. */
  readonly loss: number;
  readonly tokenAccuracy: number;
  /** Tokens fed, without padding. */
  readonly tokens: number;
  /** Preference methods: share of pairs whose better answer is rated higher, and by how much. */
  readonly rewards?: { readonly accuracy: number; readonly margin: number };
}

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
  for (const [batch, items] of microBatches.entries()) {
    const result = await model.forwardBackward(layOut(store, items, layout), { lossScale, step });
    requireFinite(result.lossSum, { store, microBatches, batch, step, layout });
    results.push(result);
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
  const items = store.count / layout.examplesPerItem;
  for (let first = 0; first < items; first += batchSize) {
    const count = Math.min(batchSize, items - first);
    const indices = Array.from({ length: count }, (_, index) => first + index);
    results.push(await model.evaluate(layOut(store, indices, layout)));
    await nextTurn();
    onBatch();
  }
  return summarise(results);
}
