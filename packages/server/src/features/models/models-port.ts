// What fine-tuning needs of the models feature and of the parity check, and nothing more.
import type { Parity, RunConfigInput } from '@corral/contracts';
import type { AuditInput } from '../../audit/audit-log.ts';
import type { Executor, Tx } from '../../db/database.ts';
import type { StoredWeights } from './weight-store.ts';

/** A model that can be trained on. */
export interface TrainableBase {
  /** As the job names it: a base, or an adapter to go on from. */
  readonly id: string;
  /** The model whose weights the adapter is for; `id` where that is no adapter. */
  readonly base: string;
  /** Where its line begins: the model that was pulled or imported. Stands in the names of what is trained. */
  readonly root: string;
  /** What goes into RunConfig.model: a folder or a GGUF file. */
  readonly trainingPath: string;
  /** Of the file (or the manifest of the folder) at `trainingPath`. */
  readonly sha256: string;
  /** The PEFT folder of the adapter to go on from; null: training begins with the base. */
  readonly init: string | null;
  /** Null, or why nothing that is trained on it could be proven and served. */
  readonly unservable: string | null;
  /** The recipe card's defaults; what it leaves out, the run config's own defaults fill. */
  readonly defaults: Omit<RunConfigInput, 'model' | 'data'> & {
    readonly data?: Partial<Omit<RunConfigInput['data'], 'train'>>;
  };
}

/** The adapter as llama.cpp loads it, already in the artefact store. */
interface AdapterResult {
  readonly kind: 'adapter';
  readonly gguf: StoredWeights;
}

/** A model of its own: the folder that can be trained on again, and what the engine loads. */
export interface WholeResult {
  readonly kind: 'model';
  readonly weights: Omit<StoredWeights, 'path'> & {
    readonly format: string;
    readonly parameters: number;
  };
  readonly gguf: StoredWeights & { readonly format: string };
}

export type TrainedResult = AdapterResult | WholeResult;

/** What a finished run made. */
export interface TrainedModel {
  /** `ft:<root>:<project>:<suffix>:<random>` */
  readonly id: string;
  readonly project: string;
  /** As the job named it. */
  readonly trainedOn: string;
  readonly jobId: string;
  readonly result: TrainedResult;
  /** Kept: PEFT folder or Hugging Face folder, README.md, run.json, golden.json. */
  readonly folder: string;
  readonly goldenPath: string;
  readonly parity: Parity;
}

/** Says why a model must stay, or null. */
export type ModelGuard = (tx: Tx, model: string) => Promise<string | null>;

export interface ModelsPort {
  /**
   * What a project may train on. Throws `model_not_found` for what does not exist or belongs to another
   * project, `invalid_request` (param `model`) for what cannot be trained on.
   */
  resolveBase(executor: Executor, project: string, id: string): Promise<TrainableBase>;
  /** Takes a run's whole model into the store: looks at it, hashes it. May be repeated. */
  takeIn(folder: string, signal: AbortSignal): Promise<WholeResult>;
  /** Makes the result a model of its project, in the caller's transaction, with its audit event. */
  registerTrained(
    tx: Tx,
    trained: TrainedModel,
    from: Pick<AuditInput, 'actor' | 'project' | 'request_id'>,
  ): Promise<void>;
  /** A feature that needs models for as long as it runs asks for them to be kept. */
  addGuard(guard: ModelGuard): void;
}

/** What is checked: an adapter on its base, or a whole model. */
export type ParitySubject =
  | { readonly kind: 'adapter'; readonly base: string; readonly ggufPath: string }
  | {
      readonly kind: 'model';
      readonly id: string;
      readonly ggufPath: string;
      readonly format: string;
    };

export interface ParityPort {
  /** Replays golden transcripts on the serving engine; does not throw for a failed bar: see `passed`. */
  check(options: {
    readonly project: string;
    readonly subject: ParitySubject;
    readonly goldenPath: string;
    readonly signal: AbortSignal;
  }): Promise<Parity>;
}
