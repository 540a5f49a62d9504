// Operations that outlive their request: enough on disk to say after a restart what became of each.
import { sql } from 'kysely';
import type { Operation } from '@corral/contracts';
import type { FeatureMigrations, NullableJson, Timestamp } from '../../db/tables.ts';

export interface OperationsTable {
  id: string;
  project: string;
  kind: Operation['kind'];
  status: Operation['status'];
  /** Last thing said; progress itself lives in memory. */
  message: string;
  result: NullableJson<Record<string, unknown>>;
  error: NullableJson<NonNullable<Operation['error']>>;
  /** The server process that does the work. */
  owner: string | null;
  /** After this, nobody does. */
  lease_expires_at: Timestamp | null;
  created_at: Timestamp;
  finished_at: Timestamp | null;
}

declare module '../../db/tables.ts' {
  interface Tables {
    operations: OperationsTable;
  }
}

export const operationsMigrations: FeatureMigrations = {
  '0500_operations_create': {
    async up(db) {
      await sql`create table operations (
        id text primary key,
        project text not null,
        kind text not null,
        status text not null,
        message text not null,
        result jsonb,
        error jsonb,
        created_at timestamptz not null,
        finished_at timestamptz
      )`.execute(db);
      await sql`create index operations_running on operations (status) where status = 'running'`.execute(
        db,
      );
    },
  },
  '0501_operations_lease': {
    async up(db) {
      await sql`alter table operations add column owner text, add column lease_expires_at timestamptz`.execute(
        db,
      );
    },
  },
};
