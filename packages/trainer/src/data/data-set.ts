// The tokenised examples of a run as its steps see them, and which of them each step takes: a pure function
// of the step, so that a resumed run goes on where it was. Where the examples lie is not known here.
import type { EncodedExample } from './encode.ts';
import { shuffledOrder } from './order.ts';

/** Examples by number, in the order of their rows. */
export interface ExampleStore {
  readonly count: number;
  /** Positions of all examples: what one epoch feeds. */
  readonly inputTokens: number;
  /** Throws RangeError beyond the last. */
  get(index: number): EncodedExample;
  /** Row of the file that an example came from. */
  rowOf(index: number): number;
  /** Rows of all examples, in order. */
  rows(): Iterable<number>;
}

export interface StepPlanOptions {
  readonly examples: number;
  readonly batchSize: number;
  readonly gradientAccumulation: number;
  readonly epochs: number;
  readonly maxSteps: number | null;
  readonly seed: number;
}

/** Which examples each optimiser step takes. Steps count from 0. */
export interface StepPlan {
  readonly totalSteps: number;
  readonly stepsPerEpoch: number;
  /** Epochs done before `step`, with fraction. */
  epochAt(step: number): number;
  /** Example indices of each micro batch of a step; the last step of an epoch may be smaller. */
  microBatches(step: number): number[][];
}

export function planSteps(options: StepPlanOptions): StepPlan {
  const { examples, batchSize, gradientAccumulation, epochs, maxSteps, seed } = options;
  const perStep = batchSize * gradientAccumulation;
  const stepsPerEpoch = Math.max(1, Math.ceil(examples / perStep));
  let shuffled: { epoch: number; order: Uint32Array } = { epoch: -1, order: new Uint32Array(0) };
  const orderOf = (epoch: number): Uint32Array => {
    if (shuffled.epoch !== epoch) {
      shuffled = { epoch, order: shuffledOrder(examples, seed, epoch) };
    }
    return shuffled.order;
  };
  return {
    totalSteps: maxSteps ?? Math.max(1, Math.ceil(epochs * stepsPerEpoch)),
    stepsPerEpoch,
    epochAt: (step) => step / stepsPerEpoch,
    microBatches: (step) => {
      const order = orderOf(Math.floor(step / stepsPerEpoch));
      const first = (step % stepsPerEpoch) * perStep;
      const taken = [...order.subarray(first, Math.min(first + perStep, examples))];
      const batches: number[][] = [];
      for (let at = 0; at < taken.length; at += batchSize) {
        batches.push(taken.slice(at, at + batchSize));
      }
      return batches;
    },
  };
}

/** Total weight of the loss tokens of some examples: what a step's loss is divided by. */
export function totalWeight(store: ExampleStore, indices: readonly number[]): number {
  let sum = 0;
  for (const index of indices) for (const weight of store.get(index).weights) sum += weight;
  return sum;
}
