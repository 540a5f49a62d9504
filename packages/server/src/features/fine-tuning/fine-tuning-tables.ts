// Tables of fine-tuning: jobs with their run's lease, events, checkpoints.
import type { FineTuningStatus, JobFigures, Parity, RunConfig } from '@corral/contracts';
import { sql, type Generated } from 'kysely';
import type { FeatureMigrations, Json, NullableJson, Timestamp } from '../../db/tables.ts';

/** Numbers as the caller gave them, `auto` resolved. */
export interface Hyperparameters {
  readonly n_epochs: number;
  readonly batch_size: number;
  readonly learning_rate_multiplier: number;
  /** Of method dpo. */
  readonly beta?: number;
}
interface JobError {
  readonly code: string;
  readonly message: string;
  readonly param: string | null;
}
/** The run's configuration without its paths, which are known when it starts. */
export type StoredRunConfig = Omit<RunConfig, 'model' | 'data'> & {
  readonly data: Omit<RunConfig['data'], 'train'>;
};

export interface FineTuningJobsTable {
  id: string;
  /** Order of creation, for cursors. */
  sequence: Generated<number>;
  project_id: string;
  model: string;
  base_sha256: string;
  training_file: string;
  validation_file: string | null;
  suffix: string | null;
  seed: number;
  metadata: NullableJson<Record<string, string>>;
  hyperparameters: Json<Hyperparameters>;
  config: Json<StoredRunConfig>;
  status: FineTuningStatus;
  error: NullableJson<JobError>;
  /** Chosen at creation, shown when it succeeded. */
  adapter_id: string;
  result_files: Json<string[]>;
  trained_tokens: number | null;
  figures: NullableJson<JobFigures>;
  parity: NullableJson<Parity>;
  created_at: Timestamp;
  finished_at: Timestamp | null;
  estimated_finish: Timestamp | null;
  /** The trainer has finished; what is left is proof and registration. */
  trained_at: Timestamp | null;
  /** Times in a row that the run died without reaching a new checkpoint. */
  attempts: number;
  lease_owner: string | null;
  /** Grows with every take-over: writes of a runner that lost its lease are refused. */
  lease_token: number;
  lease_expires_at: Timestamp | null;
}

export interface FineTuningEventsTable {
  id: string;
  sequence: Generated<number>;
  job_id: string;
  created_at: Timestamp;
  level: 'info' | 'warn' | 'error';
  type: 'message' | 'metrics';
  message: string;
  data: NullableJson<Record<string, unknown>>;
}

export interface FineTuningCheckpointsTable {
  id: string;
  sequence: Generated<number>;
  job_id: string;
  step: number;
  metrics: Json<Record<string, number>>;
  created_at: Timestamp;
}

declare module '../../db/tables.ts' {
  interface Tables {
    fine_tuning_jobs: FineTuningJobsTable;
    fine_tuning_events: FineTuningEventsTable;
    fine_tuning_checkpoints: FineTuningCheckpointsTable;
  }
}

export const fineTuningMigrations: FeatureMigrations = {
  '0140_fine_tuning_create': {
    async up(db) {
      await sql`create table fine_tuning_jobs (
        id text primary key,
        sequence bigint generated always as identity,
        project_id text not null references projects (id),
        model text not null,
        base_sha256 text not null,
        training_file text not null,
        validation_file text,
        suffix text,
        seed bigint not null,
        metadata jsonb,
        hyperparameters jsonb not null,
        config jsonb not null,
        status text not null,
        error jsonb,
        adapter_id text not null unique,
        result_files jsonb not null,
        trained_tokens bigint,
        figures jsonb,
        parity jsonb,
        created_at timestamptz not null,
        finished_at timestamptz,
        estimated_finish timestamptz,
        trained_at timestamptz,
        attempts integer not null,
        lease_owner text,
        lease_token bigint not null,
        lease_expires_at timestamptz
      )`.execute(db);
      await sql`create index fine_tuning_jobs_project
        on fine_tuning_jobs (project_id, sequence)`.execute(db);
      await sql`create index fine_tuning_jobs_status on fine_tuning_jobs (status)`.execute(db);
      await sql`create table fine_tuning_events (
        id text primary key,
        sequence bigint generated always as identity,
        job_id text not null references fine_tuning_jobs (id) on delete cascade,
        created_at timestamptz not null,
        level text not null,
        type text not null,
        message text not null,
        data jsonb
      )`.execute(db);
      await sql`create index fine_tuning_events_job
        on fine_tuning_events (job_id, sequence)`.execute(db);
      await sql`create table fine_tuning_checkpoints (
        id text primary key,
        sequence bigint generated always as identity,
        job_id text not null references fine_tuning_jobs (id) on delete cascade,
        step bigint not null,
        metrics jsonb not null,
        created_at timestamptz not null,
        unique (job_id, step)
      )`.execute(db);
    },
  },
};
