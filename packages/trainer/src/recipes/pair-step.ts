// One optimiser step's gradients of a loss over preference pairs, and its measures over held-out pairs. The
// loss itself is a function of the likelihoods of both answers, which the method gives with its derivative. A
// step's loss is the mean over its pairs.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ExampleStore } from '../data/data-set.ts';
import type { BatchResult, CausalLm, ExampleValues } from '../models/causal-lm.ts';
import { requireFinite } from './divergence.ts';
import { type Layout, layOutRows } from './layout.ts';
import type { StepResult } from './train-step.ts';

/** Negative log-likelihoods of the two answers of a pair, natural log, summed over their tokens. */
export interface PairLosses {
  readonly chosen: number;
  readonly rejected: number;
}

/** What a method makes of them. */
export interface PairOutcome {
  readonly loss: number;
  /** By how much the better answer is rated higher. */
  readonly margin: number;
  /** d loss / d (negative log-likelihood) of each answer. */
  readonly weights: PairLosses;
}

/** Pairs, and the loss of each by its index. */
export interface PairSource {
  readonly store: ExampleStore;
  readonly outcomeOf: (pair: number, losses: PairLosses) => PairOutcome;
}

/** The pairs of some rows of a batch; `items` are their indices, row by row. */
function outcomesOf(
  { outcomeOf }: PairSource,
  items: readonly (readonly number[])[],
  losses: ExampleValues,
): PairOutcome[][] {
  return items.map((row, at) =>
    row.map((pair, place) => {
      const chosen = losses[at]?.[2 * place] ?? NaN;
      const rejected = losses[at]?.[2 * place + 1] ?? NaN;
      return outcomeOf(pair, { chosen, rejected });
    }),
  );
}

function summarise(outcomes: readonly PairOutcome[], results: readonly BatchResult[]): StepResult {
  const mean = (value: (outcome: PairOutcome) => number): number =>
    outcomes.reduce((sum, outcome) => sum + value(outcome), 0) / outcomes.length;
  const total = (key: 'correct' | 'scored' | 'tokens'): number =>
    results.reduce((sum, result) => sum + result[key], 0);
  return {
    loss: mean(({ loss }) => loss),
    tokenAccuracy: total('correct') / Math.max(1, total('scored')),
    tokens: total('tokens'),
    rewards: {
      accuracy: mean(({ margin }) => Number(margin > 0)),
      margin: mean(({ margin }) => margin),
    },
  };
}

/** Adds the gradient of the mean loss of a step's pairs to the model's parameters. */
export async function accumulatePairGradients(
  model: CausalLm,
  { microBatches, ...source }: PairSource & { microBatches: readonly (readonly number[])[] },
  { layout, step }: { layout: Layout; step: number },
): Promise<StepResult> {
  const lossScale = 1 / microBatches.flat().length;
  const outcomes: PairOutcome[] = [];
  const results: BatchResult[] = [];
  for (const [index, pairs] of microBatches.entries()) {
    const { batch, items } = layOutRows(source.store, pairs, layout);
    const result = await model.forwardBackward(batch, {
      lossScale,
      step,
      weigh: (losses, firstRow) => {
        const rows = items.slice(firstRow, firstRow + losses.length);
        const found = outcomesOf(source, rows, losses);
        outcomes.push(...found.flat());
        return found.map((row) =>
          Float64Array.from(row.flatMap(({ weights }) => [weights.chosen, weights.rejected])),
        );
      },
    });
    const place = { store: source.store, microBatches, batch: index, step, layout };
    requireFinite(result.lossSum, place);
    results.push(result);
    // The maths blocks this thread; signals and output get their turn here.
    await nextTurn();
  }
  return summarise(outcomes, results);
}

/** Loss and rewards over all pairs, in batches of `batchSize`. `onBatch` may throw to stop. */
export async function evaluatePairs(
  model: CausalLm,
  source: PairSource,
  { layout, batchSize, onBatch }: { layout: Layout; batchSize: number; onBatch: () => void },
): Promise<StepResult> {
  const outcomes: PairOutcome[] = [];
  const results: BatchResult[] = [];
  const count = source.store.count / 2;
  for (let first = 0; first < count; first += batchSize) {
    const size = Math.min(batchSize, count - first);
    const pairs = Array.from({ length: size }, (_, index) => first + index);
    const { batch, items } = layOutRows(source.store, pairs, layout);
    const result = await model.evaluate(batch);
    outcomes.push(...outcomesOf(source, items, result.exampleLosses).flat());
    results.push(result);
    await nextTurn();
    onBatch();
  }
  return summarise(outcomes, results);
}
