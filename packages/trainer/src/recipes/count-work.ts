// The work of a run, counted from its real batches: how many positions go through the layers and in which shapes
// of graphs, in training, validation and the golden transcripts. Knows neither memory nor seconds.
import type { ModelConfig } from '@corral/formats';
import type { ExampleStore } from '../data/data-set.ts';
import { type BatchShape, groupShapes, singleRow, stepMultiple } from '../models/batch-layout.ts';
import type { PackedBatch } from '../models/causal-lm.ts';
import { methodTraits } from '../config/methods.ts';
import { goldenLimits } from '../output/golden.ts';
import { promptsOfEach } from './golden-prompts.ts';
import { type Layout, layOut } from './layout.ts';
import type { RunData } from './load-data.ts';
import type { Run } from './run.ts';
import { itemCount, layoutOf, stepPlanOf } from './session.ts';

/** Rows worked on together: each shape has graphs of its own. */
export interface WorkShape extends BatchShape {
  /** Positions of all training steps in rows of this shape, padding included; 0 where only evaluation has it. */
  readonly positions: number;
  /** Whether it is evaluated too: held-out rows, transcripts, the reference of pairs. */
  readonly evaluated: boolean;
  /** The most scored rows of one such group. */
  readonly scored: number;
  /** Such rows of the run; null where only transcripts have them. */
  readonly sample: PackedBatch | null;
}

/** One transcript: a prompt that is continued a token or more a pass. */
interface GoldenWork {
  /** Padded. */
  readonly positions: number;
  /** Tokens of the continuation, and how many of them the answer in the data has. */
  readonly tokens: number;
  readonly answer: number;
}

export interface Work {
  /** Positions of all training steps, padding included. */
  readonly positions: number;
  readonly scored: number;
  readonly tokens: number;
  /** Of one validation. */
  readonly validationPositions: number;
  readonly validationScored: number;
  readonly golden: readonly GoldenWork[];
  readonly shapes: readonly WorkShape[];
  /** The most positions of one micro batch, whose masks are made together. */
  readonly batchPositions: number;
}

/** Steps looked at to reckon the rest: layouts of one epoch resemble those of the next. */
const sampledSteps = 200;

class WorkCounter {
  positions = 0;
  scored = 0;
  tokens = 0;
  batchPositions = 0;
  private readonly shapes: Map<string, WorkShape>;
  private readonly slidingWindow: number | null;
  private readonly evaluated: boolean;

  constructor(
    shapes: Map<string, WorkShape>,
    { sliding_window }: ModelConfig,
    { evaluated }: { readonly evaluated: boolean },
  ) {
    this.shapes = shapes;
    this.slidingWindow = sliding_window;
    this.evaluated = evaluated;
  }

  /** @param trains whether its positions are those of a step */
  add(batch: PackedBatch, trains: boolean): void {
    this.positions += batch.rows * batch.seqLen;
    this.batchPositions = Math.max(this.batchPositions, batch.rows * batch.seqLen);
    this.tokens += batch.segments.filter((segment) => segment >= 0).length;
    for (const { batch: group, shape } of groupShapes(batch, this.slidingWindow)) {
      const scored = group.weights.filter((weight) => weight > 0).length;
      this.scored += scored;
      const { rows, steps, lookback } = shape;
      const key = `${rows} ${steps} ${lookback}`;
      const known = this.shapes.get(key);
      this.shapes.set(key, {
        ...shape,
        positions: (known?.positions ?? 0) + (trains ? rows * steps : 0),
        evaluated: (known?.evaluated ?? false) || this.evaluated,
        scored: Math.max(known?.scored ?? 0, scored),
        sample: known?.sample ?? group,
      });
    }
  }
}

/** Every n-th example of a store. */
const spread = ({ count }: ExampleStore, wanted: number): number[] =>
  Array.from({ length: Math.min(count, wanted) }, (_, index) =>
    Math.floor((index * count) / Math.min(count, wanted)),
  );

function goldenWork(run: Run, data: RunData): GoldenWork[] {
  const { context_length } = run.config.data;
  const ofStore = (store: ExampleStore): GoldenWork[] =>
    spread(store, promptsOfEach).map((index) => {
      const { tokens, weights } = store.get(index);
      // What is learned last is the answer that is asked for again.
      const end = weights.findLastIndex((weight) => weight > 0) + 1;
      const answered = weights.subarray(0, end).findLastIndex((weight) => weight === 0) + 1;
      const prompt = answered === 0 ? Math.min(tokens.length, goldenLimits.textTokens) : answered;
      const answer = answered === 0 ? 0 : Math.min(goldenLimits.tokens, end - answered);
      const continued = Math.max(0, Math.min(goldenLimits.tokens, context_length - prompt));
      const positions = stepMultiple * Math.ceil((prompt + continued) / stepMultiple);
      return { positions, tokens: continued, answer };
    });
  return [...ofStore(data.validation), ...ofStore(data.train)];
}

function countValidation(run: Run, data: RunData, counter: WorkCounter): void {
  const layout: Layout = layoutOf(run);
  const { batch_size: size } = run.config.train;
  const heldOut = itemCount(run, data.validation);
  for (let first = 0; first < heldOut; first += size) {
    const count = Math.min(size, heldOut - first);
    const items = Array.from({ length: count }, (_, index) => first + index);
    counter.add(layOut(data.validation, items, layout), false);
  }
}

/** Counts the batches of a run; of a long one a part, from which the rest is reckoned. */
export function countWork(run: Run, data: RunData, shape: ModelConfig): Work {
  const layout: Layout = layoutOf(run);
  const plan = stepPlanOf(run, data.train);
  const steps = Math.min(plan.totalSteps, sampledSteps);
  const shapes = new Map<string, WorkShape>();
  const pairs = methodTraits[run.config.method].examplesPerItem > 1;
  const training = new WorkCounter(shapes, shape, { evaluated: pairs });
  for (let step = 0; step < steps; step += 1) {
    for (const items of plan.microBatches(step)) {
      training.add(layOut(data.train, items, layout), true);
    }
  }
  const validation = new WorkCounter(shapes, shape, { evaluated: true });
  countValidation(run, data, validation);
  const golden = goldenWork(run, data);
  const transcripts = new WorkCounter(shapes, shape, { evaluated: true });
  for (const { positions } of golden) {
    transcripts.add(singleRow(new Int32Array(positions)), false);
  }
  const scale = plan.totalSteps / steps;
  return {
    positions: training.positions * scale,
    scored: training.scored * scale,
    tokens: Math.round(training.tokens * scale),
    validationPositions: validation.positions,
    validationScored: validation.scored,
    golden,
    shapes: [...shapes.values()].map((each) => ({ ...each, positions: each.positions * scale })),
    batchPositions: Math.max(training.batchPositions, validation.batchPositions),
  };
}
