// Table of uploaded (and produced) files. Their content is in the artefact store.
import { sql, type Generated } from 'kysely';
import type { FeatureMigrations, Timestamp } from '../../db/tables.ts';

export interface FilesTable {
  id: string;
  /** Order of creation: cursors need one that never ties. */
  sequence: Generated<number>;
  project_id: string;
  filename: string;
  purpose: string;
  bytes: number;
  sha256: string;
  created_at: Timestamp;
}

declare module '../../db/tables.ts' {
  interface Tables {
    files: FilesTable;
  }
}

export const filesMigrations: FeatureMigrations = {
  '0130_files_create': {
    async up(db) {
      await sql`create table files (
        id text primary key,
        sequence bigint generated always as identity,
        project_id text not null references projects (id),
        filename text not null,
        purpose text not null,
        bytes bigint not null,
        sha256 text not null,
        created_at timestamptz not null
      )`.execute(db);
      await sql`create index files_project on files (project_id, sequence)`.execute(db);
      await sql`create index files_content on files (sha256)`.execute(db);
    },
  },
};
