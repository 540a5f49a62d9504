// What fine-tuning needs of the models feature and of the parity check, and nothing more.
import type { Parity, RunConfigInput } from '@corral/contracts';
import type { AuditInput } from '../../audit/audit-log.ts';
import type { Executor, Tx } from '../../db/database.ts';

/** A base model that can be trained on. */
export interface TrainableBase {
  readonly id: string;
  /** What goes into RunConfig.model: a folder or a GGUF file. */
  readonly trainingPath: string;
  /** Of the file (or the manifest of the folder) at `trainingPath`. */
  readonly sha256: string;
  /** Null, or why nothing that is trained on it could be proven and served. */
  readonly unservable: string | null;
  /** The recipe card's defaults; what it leaves out, the run config's own defaults fill. */
  readonly defaults: Omit<RunConfigInput, 'model' | 'data'> & {
    readonly data?: Partial<Omit<RunConfigInput['data'], 'train'>>;
  };
}

/** A finished run's adapter, already in the artefact store. */
export interface TrainedAdapter {
  /** `ft:<base>:<project>:<suffix>:<random>` */
  readonly id: string;
  readonly project: string;
  readonly base: string;
  readonly jobId: string;
  /** The adapter as llama.cpp loads it. */
  readonly gguf: { readonly sha256: string; readonly bytes: number; readonly path: string };
  /** Kept PEFT folder (adapter_config.json, adapter_model.safetensors, README.md, run.json, golden.json). */
  readonly folder: string;
  readonly goldenPath: string;
  readonly parity: Parity;
}

/** Says why a model must stay, or null. */
export type ModelGuard = (tx: Tx, model: string) => Promise<string | null>;

export interface ModelsPort {
  /**
   * The base a project may train on. Throws `model_not_found` for what does not exist or belongs to
   * another project, `invalid_request` (param `model`) for what cannot be trained on.
   */
  resolveBase(executor: Executor, project: string, id: string): Promise<TrainableBase>;
  /** Makes the adapter a model of its project, in the caller's transaction, with its audit event. */
  registerAdapter(
    tx: Tx,
    adapter: TrainedAdapter,
    from: Pick<AuditInput, 'actor' | 'project' | 'request_id'>,
  ): Promise<void>;
  /** A feature that needs models for as long as it runs asks for them to be kept. */
  addGuard(guard: ModelGuard): void;
}

export interface ParityPort {
  /** Replays golden transcripts on the serving engine; does not throw for a failed bar: see `passed`. */
  check(options: {
    readonly project: string;
    readonly base: string;
    readonly adapter: { readonly id: string; readonly ggufPath: string };
    readonly goldenPath: string;
    readonly signal: AbortSignal;
  }): Promise<Parity>;
}
