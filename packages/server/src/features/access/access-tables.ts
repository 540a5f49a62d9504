// Tables of the access feature: projects, their keys, and the record of requests that must not run twice.
import type { KeyScope } from '@corral/contracts';
import { sql } from 'kysely';
import type { FeatureMigrations, Json, Timestamp } from '../../db/tables.ts';

export interface ProjectsTable {
  id: string;
  /** Lower-case word, part of fine-tuned models' names. */
  name: string;
  /** The project of whoever runs this server: its admins may manage other projects. */
  operator: boolean;
  created_at: Timestamp;
}

export interface ApiKeysTable {
  id: string;
  project_id: string;
  name: string;
  /** SHA-256 of the key, hexadecimal; the key itself is nowhere. */
  hash: string;
  hint: string;
  scopes: Json<KeyScope[]>;
  created_at: Timestamp;
  expires_at: Timestamp | null;
  revoked_at: Timestamp | null;
  last_used_at: Timestamp | null;
}

declare module '../../db/tables.ts' {
  interface Tables {
    projects: ProjectsTable;
    api_keys: ApiKeysTable;
  }
}

export const accessMigrations: FeatureMigrations = {
  '0100_access_create': {
    async up(db) {
      await sql`create table projects (
        id text primary key,
        name text not null unique,
        operator boolean not null,
        created_at timestamptz not null
      )`.execute(db);
      await sql`create table api_keys (
        id text primary key,
        project_id text not null references projects (id),
        name text not null,
        hash text not null unique,
        hint text not null,
        scopes jsonb not null,
        created_at timestamptz not null,
        expires_at timestamptz,
        revoked_at timestamptz,
        last_used_at timestamptz
      )`.execute(db);
      await sql`create index api_keys_project on api_keys (project_id, created_at)`.execute(db);
    },
  },
};
