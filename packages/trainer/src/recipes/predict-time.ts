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

/** Starting the process and its modules. */
const startSeconds = 0.6;
/** Bytes a second written, synced and hashed. */
const writeRate = 250e6;
/** Passes of a transcript of 24 tokens once the model has learned its answers: it guesses them from the data. */
const passesWhenLearned = 8;
/** Rows that a pass of a transcript gives to the head, at the least (models/lm-head.ts). */
const transcriptRows = 16;
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
  /** Hashing the inputs and tokenising, which the plan has just done as the run will. */
  readonly prepareSeconds: number;
}

/** The speed measured at the length nearest to a shape's. */
function speedFor({ steps }: WorkShape, samples: readonly PackedBatch[], speeds: readonly Speed[]) {
  const distances = samples.map(({ seqLen }) => Math.abs(Math.log(seqLen / steps)));
  return speeds[distances.indexOf(Math.min(...distances))];
}

/** Share of the answers that come as in the data: none after one epoch, all after three. */
const learnedAfter = (epochs: number): number => Math.min(1, Math.max(0, (epochs - 1) / 2));

/** Positions and head rows of all passes of the transcripts: the more was learned, the fewer. */
function goldenTotals({ golden }: Work, epochs: number) {
  const passes = golden.map(({ tokens, answer }) => {
    const learned = learnedAfter(epochs) * Math.min(1, answer / Math.max(1, tokens));
    return tokens - Math.max(0, tokens - passesWhenLearned) * learned;
  });
  return {
    positions: passes.reduce((sum, count, at) => sum + count * (golden[at]?.positions ?? 0), 0),
    scored: transcriptRows * passes.reduce((sum, count) => sum + count, 0),
  };
}

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
  const transcripts = goldenTotals(work, epochs);
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
    forward(transcripts.positions, transcripts.scored) +
    main.update * sizes.trainable * plan.totalSteps +
    // The first shape also warms the program up.
    main.graphs +
    (speeds.at(-1)?.graphs ?? 0) * (work.shapes.length - 1)
  );
}

/** Seconds of the whole run, from the start of its process to its end. `speeds` belong to `samples`. */
export function predictSeconds(
  run: TimedRun,
  samples: readonly PackedBatch[],
  speeds: readonly Speed[],
): number {
  const { method, sizes, plan, checkpointSteps, prepareSeconds } = run;
  const checkpoints = 1 + Math.floor((plan.totalSteps - 1) / checkpointSteps);
  // A checkpoint is three values a parameter; results are an adapter twice, or a model in three forms, each
  // written and hashed.
  const results = (methodTraits[method].trainsAdapter ? 2 : 1.75) * 2;
  const written = 4 * sizes.trainable * (3 * checkpoints + results);
  return (
    startSeconds +
    prepareSeconds +
    (speeds[0]?.load ?? 0) * sizes.base +
    mathsSeconds(run, samples, speeds) +
    written / writeRate
  );
}
