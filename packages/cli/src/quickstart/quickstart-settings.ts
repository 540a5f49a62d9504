// What the quickstart does by default: which model, which data, which hyper-parameters, and what makes
// two runs the same run. The figures behind the hyper-parameters are in docs/guides/quickstart.md.
import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import type { RunConfigInput } from '@corral/contracts';
import { rehearsalModel } from '../local-models.ts';

export const defaultModel = 'smollm2-135m-instruct';

/** A run configuration without what the server fills in. */
export type TrainingSections = Omit<RunConfigInput, 'model' | 'data'> & {
  readonly data?: Partial<RunConfigInput['data']>;
};

const example = (name: string): string =>
  fileURLToPath(new URL(`../../../../examples/quickstart/${name}`, import.meta.url));

export interface ExampleSet {
  readonly train: string;
  readonly questions: string;
  /** The name clients ask for. */
  readonly alias: string;
}

const ferry: ExampleSet = {
  train: example('train.jsonl'),
  questions: example('questions.jsonl'),
  alias: 'ferry',
};
/** New boats for the harbour town that is all the miniature knows. */
const harbour: ExampleSet = {
  train: example('rehearsal-train.jsonl'),
  questions: example('rehearsal-questions.jsonl'),
  alias: 'harbour',
};
export const exampleSets: readonly ExampleSet[] = [ferry, harbour];

/** The examples that suit a base model. */
export const examplesFor = (model: string): ExampleSet =>
  model === rehearsalModel ? harbour : ferry;

/** A short run is often interrupted by a curious person: little is lost. */
const checkpoint = { every_steps: 10, keep: 2 };

const sections: Readonly<Record<string, TrainingSections>> = {
  // Thirty facts in five wordings each. What counts is how often a fact is seen and how many steps are
  // taken: three passes, or eight examples a step, leave facts out.
  [defaultModel]: {
    method: 'lora',
    data: { context_length: 256, validation: 0.07 },
    lora: { rank: 16, alpha: 32 },
    train: { epochs: 4, batch_size: 4, learning_rate: 1e-3, schedule: 'cosine', seed: 42 },
    checkpoint,
  },
  [rehearsalModel]: {
    method: 'lora',
    data: { context_length: 256, validation: 0.07 },
    lora: { rank: 16, alpha: 32 },
    train: { epochs: 12, batch_size: 4, learning_rate: 3e-3, schedule: 'cosine', seed: 42 },
    checkpoint,
  },
};

/** Longer than any of our examples, within the memory of a small machine. */
const ownData = { context_length: 1024, validation: 0.1 };

/** Hyper-parameters for a base model; of a model nobody has tried, its own recipe's. */
export function trainingSections(
  model: string,
  { ownData: isOwn }: { readonly ownData: boolean },
): TrainingSections {
  const found = sections[model] ?? { checkpoint };
  return isOwn ? { ...found, data: { ...found.data, ...ownData } } : found;
}

/** Two quickstarts with the same fingerprint train the same adapter: the second may use the first's. */
export function fingerprint(parts: {
  readonly baseSha256: string;
  readonly dataSha256: string;
  readonly sections: TrainingSections;
}): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32);
}
