// Deployments: which name in a project answers with which model, and what it answered with before.
import { sql } from 'kysely';
import type { FeatureMigrations, Timestamp } from '../../db/tables.ts';

export interface DeploymentsTable {
  id: string;
  project: string;
  /** What clients send as `model`. */
  name: string;
  model: string;
  previous_model: string | null;
  /** Its base stays in memory. */
  pinned: boolean;
  created_at: Timestamp;
  updated_at: Timestamp;
}

declare module '../../db/tables.ts' {
  interface Tables {
    deployments: DeploymentsTable;
  }
}

export const deploymentsMigrations: FeatureMigrations = {
  '0520_deployments_create': {
    async up(db) {
      await sql`create table deployments (
        id text primary key,
        project text not null,
        name text not null,
        model text not null references models (id),
        previous_model text,
        created_at timestamptz not null,
        updated_at timestamptz not null,
        unique (project, name)
      )`.execute(db);
      await sql`create index deployments_model on deployments (model)`.execute(db);
    },
  },
  '0521_deployments_pinned': {
    async up(db) {
      await sql`alter table deployments add column pinned boolean not null default false`.execute(
        db,
      );
    },
  },
};
