// Which request already made which resource.
import { sql } from 'kysely';
import type { FeatureMigrations, Timestamp } from '../db/tables.ts';

export interface IdempotencyKeysTable {
  project_id: string;
  route: string;
  key: string;
  /** SHA-256 of what was asked for, to tell a repetition from a mistake. */
  fingerprint: string;
  resource_id: string;
  created_at: Timestamp;
}

declare module '../db/tables.ts' {
  interface Tables {
    idempotency_keys: IdempotencyKeysTable;
  }
}

export const idempotencyMigrations: FeatureMigrations = {
  '0120_idempotency_create': {
    async up(db) {
      await sql`create table idempotency_keys (
        project_id text not null,
        route text not null,
        key text not null,
        fingerprint text not null,
        resource_id text not null,
        created_at timestamptz not null,
        primary key (project_id, route, key)
      )`.execute(db);
      await sql`create index idempotency_keys_age on idempotency_keys (created_at)`.execute(db);
    },
  },
};
