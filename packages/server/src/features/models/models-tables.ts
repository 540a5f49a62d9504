// Tables of the models feature: base models (shared by all projects) and adapters (a project's own).
import type { Parity } from '@corral/contracts';
import { sql } from 'kysely';
import type { FeatureMigrations, Json, NullableJson, Timestamp } from '../../db/tables.ts';

export interface ModelsTable {
  id: string;
  /** Null: every project may use it. */
  project: string | null;
  kind: 'base' | 'adapter';
  base: string | null;
  owned_by: string;
  license: Json<{ id: string; url: string | null }>;
  /** For people: "PyPI", "import", "fine-tuning". */
  source: string;
  /** Key of the reference that was pulled; null: not pulled. */
  reference: string | null;
  architecture: string;
  parameters: number | null;
  context_length: number | null;
  /** Weight format as it came: "Q4_1", "BF16". */
  format: string;
  /** Weight format the engine reads; null: cannot be served. */
  serving_format: string | null;
  bytes: number;
  /** Of the file at `path`, or of the manifest of the folder there. */
  sha256: string;
  path: string;
  /** Digest and file that the engine loads; the same as `path` when nothing had to be re-encoded. */
  serving_sha256: string | null;
  serving_path: string | null;
  job_id: string | null;
  /** What it was trained on: a base, or the model that training went on from. */
  derived_from: string | null;
  /** Golden transcripts, for replay. */
  golden_path: string | null;
  parity: NullableJson<Parity>;
  created_at: Timestamp;
}

declare module '../../db/tables.ts' {
  interface Tables {
    models: ModelsTable;
  }
}

export const modelsMigrations: FeatureMigrations = {
  '0510_models_create': {
    async up(db) {
      await sql`create table models (
        id text primary key,
        project text,
        kind text not null,
        base text references models (id),
        owned_by text not null,
        license jsonb not null,
        source text not null,
        architecture text not null,
        parameters double precision,
        context_length integer,
        format text not null,
        serving_format text,
        bytes double precision not null,
        sha256 text not null,
        path text not null,
        serving_sha256 text,
        serving_path text,
        job_id text,
        golden_path text,
        parity jsonb,
        created_at timestamptz not null,
        check ((kind = 'adapter') = (base is not null))
      )`.execute(db);
      await sql`create index models_base on models (base)`.execute(db);
    },
  },
  '0511_models_reference': {
    async up(db) {
      await sql`alter table models add column reference text`.execute(db);
    },
  },
  '0512_models_lineage': {
    async up(db) {
      // So far jobs made adapters only, each begun anew on its base.
      await sql`alter table models add column derived_from text`.execute(db);
      await sql`update models set derived_from = base where job_id is not null`.execute(db);
    },
  },
};
