// The tokenised examples of a run, and which of them each step takes: a pure function of the step, so
// that a resumed run goes on where it was. Tokens of all examples lie in a few large arrays, eight bytes
// a token, not in an object each.
import type { EncodedExample } from './encode.ts';
import { shuffledOrder } from './order.ts';

/** Examples in memory as flat arrays; grows as examples are added. */
export class ExampleStore {
  private tokens = new Int32Array(1 << 16);
  private weights = new Float32Array(1 << 16);
  private used = 0;
  private readonly starts: number[] = [];
  private readonly rows: number[] = [];

  get count(): number {
    return this.starts.length;
  }

  /** Positions of all examples: what one epoch feeds. */
  get inputTokens(): number {
    return this.used - this.count;
  }

  add({ tokens, weights }: EncodedExample, row: number): void {
    const end = this.used + tokens.length;
    if (end > this.tokens.length) this.grow(end);
    this.tokens.set(tokens, this.used);
    this.weights.set(weights, this.used);
    this.starts.push(this.used);
    this.rows.push(row);
    this.used = end;
  }

  /** A view of an example; throws RangeError beyond the last. */
  get(index: number): EncodedExample {
    const start = this.starts[index];
    if (start === undefined) throw new RangeError(`there is no example ${index}`);
    const end = this.starts[index + 1] ?? this.used;
    return { tokens: this.tokens.subarray(start, end), weights: this.weights.subarray(start, end) };
  }

  /** Row of the file that an example came from. */
  rowOf(index: number): number {
    return this.rows[index] ?? 0;
  }

  private grow(needed: number): void {
    const size = Math.max(needed, this.tokens.length * 2);
    const tokens = new Int32Array(size);
    tokens.set(this.tokens);
    const weights = new Float32Array(size);
    weights.set(this.weights);
    this.tokens = tokens;
    this.weights = weights;
  }
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
