// The seconds of a run from the speeds that the probe found and the work that was counted. What is not maths
// (starting, reading, saving) is reckoned from rates; in a run of more than minutes it hardly counts.
import type { RunConfig } from '@corral/contracts';
import type { ModelConfig } from '@corral/formats';
import { methodTraits } from '../config/methods.ts';
import type { StepPlan } from '../data/data-set.ts';
import type { PackedBatch } from '../models/causal-lm.ts';
import type { Work, WorkShape } from './count-work.ts';
import type { Sizes } from './estimate.ts';
import type { Speed } from './probe.ts';

/** Starting the process and opening the tokenizer. */
const startSeconds = 1.5;
/** Reading and dequantising a parameter; drawing one takes three times as long. */
const loadSeconds = 12e-9;
/** Tokens a second before training. */
const tokenRate = 300e3;
/** Bytes a second written, synced and hashed. */
const writeRate = 250e6;
/**
 * The golden transcripts: so many prompts of about this share of an example; a token of an answer costs a pass
 * until the model has learned it.
 */
const golden = { prompts: 8, share: 0.6, tokens: 24, passesWhenLearned: 8 };
/** Rows are padded to multiples of this. */
const padding = 64;
/** More shapes than this are reckoned from the nearest. */
const probedShapes = 2;

/** The shapes that most of the training is made of, the largest share first. */
export const probedSamples = ({ shapes }: Work): PackedBatch[] =>
  shapes
    .toSorted((a, b) => b.positions - a.positions)
    .flatMap(({ sample }) => sample ?? [])
    .slice(0, probedShapes);

/** What a run is, as far as its time depends on it. */
export interface TimedRun {
  readonly method: RunConfig['method'];
  readonly checkpointSteps: number;
  readonly shape: ModelConfig;
  readonly sizes: Sizes;
  readonly work: Work;
  readonly plan: Pick<StepPlan, 'totalSteps' | 'stepsPerEpoch'>;
  /** Of the training file. */
  readonly tokens: { readonly total: number; readonly mean: number };
}

/** The speed measured at the length nearest to a shape's. */
function speedFor({ steps }: WorkShape, samples: readonly PackedBatch[], speeds: readonly Speed[]) {
  const distances = samples.map(({ seqLen }) => Math.abs(Math.log(seqLen / steps)));
  return speeds[distances.indexOf(Math.min(...distances))];
}

const goldenPasses = (epochs: number): number => {
  const { prompts, tokens, passesWhenLearned } = golden;
  return prompts * (tokens - (tokens - passesWhenLearned) * Math.min(1, epochs));
};

const promptLength = ({ tokens }: TimedRun): number =>
  padding * Math.ceil((golden.share * tokens.mean + golden.tokens) / padding);

function mathsSeconds(run: TimedRun, samples: readonly PackedBatch[], speeds: readonly Speed[]) {
  const { method, shape, work, plan, sizes } = run;
  const main = speeds[0];
  if (!main) return 0;
  const layers = shape.num_hidden_layers;
  const headForward = main.head / (methodTraits[method].trainsAdapter ? 2 : 3);
  const epochs = plan.totalSteps / plan.stepsPerEpoch;
  const training = work.shapes.reduce(
    (sum, each) => {
      const { train } = speedFor(each, samples, speeds) ?? main;
      return sum + layers * each.positions * train;
    },
    main.head * shape.vocab_size * work.scored,
  );
  const forward = (positions: number, scored: number): number =>
    main.evaluate * layers * positions + headForward * shape.vocab_size * scored;
  const validations =
    work.validationPositions === 0 ? 0 : 2 + Math.floor((plan.totalSteps - 1) / plan.stepsPerEpoch);
  // A preference method asks the reference once about each item, and the head twice about each step's.
  const preferences =
    methodTraits[method].examplesPerItem === 1
      ? 0
      : forward(work.positions / Math.max(1, epochs), work.scored / Math.max(1, epochs)) +
        forward(0, work.scored);
  return (
    training +
    preferences +
    validations * forward(work.validationPositions, work.validationScored) +
    goldenPasses(epochs) * forward(promptLength(run), golden.tokens) +
    main.update * sizes.trainable * plan.totalSteps +
    main.graphs * work.shapes.length
  );
}

/** Seconds of the whole run, from the start of its process to its end. `speeds` belong to `samples`. */
export function predictSeconds(
  run: TimedRun,
  samples: readonly PackedBatch[],
  speeds: readonly Speed[],
): number {
  const { method, sizes, plan, checkpointSteps, tokens } = run;
  const checkpoints = 1 + Math.floor((plan.totalSteps - 1) / checkpointSteps);
  // A checkpoint is three values a parameter; results are an adapter twice, or a model in three forms, each
  // written and hashed.
  const results = (methodTraits[method].trainsAdapter ? 2 : 1.75) * 2;
  const written = 4 * sizes.trainable * (3 * checkpoints + results);
  return (
    startSeconds +
    loadSeconds * sizes.base +
    tokens.total / tokenRate +
    mathsSeconds(run, samples, speeds) +
    written / writeRate
  );
}
