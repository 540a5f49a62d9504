// A models feature that knows one base and one adapter of it, and takes whatever is trained, and a parity check that passes, unless told.
import { CorralError, type Parity } from '@corral/contracts';
import type {
  ModelsPort,
  ParityPort,
  ParitySubject,
  TrainedModel,
} from '../features/models/index.ts';

/** A fine-tuned model to go on from. */
export const earlier = 'ft:tiny:default::earlier1';

export interface FakeModels {
  readonly models: ModelsPort;
  readonly parity: ParityPort;
  readonly trained: TrainedModel[];
  /** What was held to its transcripts. */
  readonly checked: ParitySubject[];
  /** What the next checks find; an error is thrown once. */
  readonly next: {
    passed: boolean;
    error: Error | null;
    /** What the next questions for the base throw, in order; null: nothing. */
    baseErrors: (Error | null)[];
    unservable: string | null;
  };
}

export function fakeModels(): FakeModels {
  const trained: TrainedModel[] = [];
  const checked: ParitySubject[] = [];
  const next: FakeModels['next'] = { passed: true, error: null, baseErrors: [], unservable: null };
  return {
    trained,
    checked,
    next,
    models: {
      addGuard: () => undefined,
      async resolveBase(_executor, _project, id) {
        const error = next.baseErrors.shift();
        if (error) throw error;
        if (id !== 'tiny' && id !== earlier)
          throw new CorralError('model_not_found', { params: { model: id }, param: 'model' });
        return {
          id,
          base: 'tiny',
          root: 'tiny',
          init: id === earlier ? '/runs/earlier/output' : null,
          trainingPath: '/models/tiny.gguf',
          sha256: 'a'.repeat(64),
          unservable: next.unservable,
          defaults: { train: { epochs: 2, learning_rate: 0.001 }, data: { context_length: 512 } },
        };
      },
      takeIn: async (folder) => ({
        kind: 'model',
        weights: { sha256: 'b'.repeat(64), bytes: 10, format: 'F32', parameters: 100 },
        gguf: { sha256: 'c'.repeat(64), bytes: 5, path: `${folder}/model.gguf`, format: 'Q8_0' },
      }),
      async registerTrained(_tx, model) {
        trained.push(model);
      },
    },
    parity: {
      async check({ subject }) {
        checked.push(subject);
        const { error } = next;
        next.error = null;
        if (error !== null) throw error;
        return parityOf(next.passed);
      },
    },
  };
}

const parityOf = (passed: boolean): Parity => ({
  prompt_tokens_equal: true,
  greedy_agreement: passed ? 1 : 0.5,
  mean_kl: passed ? 0.001 : 0.5,
  positions: 10,
  transcripts: 1,
  passed,
  first_difference: passed
    ? null
    : {
        transcript: 0,
        position: 3,
        expected: 1,
        found: 2,
        likely_cause: 'the scale of the adapter',
      },
  serving_format: 'q8_0',
});
