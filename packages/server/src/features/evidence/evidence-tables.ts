// Tables of the evidence log: leaves in order, the complete subtrees that proofs are made of, the compact
// range that the next leaf is appended to, and every head that was ever signed.
import { sql } from 'kysely';
import type { FeatureMigrations, Json, Timestamp } from '../../db/tables.ts';

interface EvidenceStateTable {
  /** Always 1: one row, locked by whoever appends, so that order is index. */
  id: number;
  size: number;
  /** Base64 hashes of the complete subtrees, left to right. */
  hashes: Json<string[]>;
}
export interface EvidenceEntriesTable {
  index: number;
  /** Canonical JSON (RFC 8785) of the audit event. */
  leaf: string;
  project_id: string | null;
  created_at: Timestamp;
}
interface EvidenceNodesTable {
  level: number;
  index: number;
  /** Base64, 32 bytes. */
  hash: string;
}
export interface EvidenceHeadsTable {
  size: number;
  root: string;
  checkpoint: string;
  verifier_key: string;
  created_at: Timestamp;
}

declare module '../../db/tables.ts' {
  interface Tables {
    evidence_state: EvidenceStateTable;
    evidence_entries: EvidenceEntriesTable;
    evidence_nodes: EvidenceNodesTable;
    evidence_heads: EvidenceHeadsTable;
  }
}

export const evidenceMigrations: FeatureMigrations = {
  '0110_evidence_create': {
    async up(db) {
      await sql`create table evidence_state (
        id integer primary key check (id = 1),
        size bigint not null,
        hashes jsonb not null
      )`.execute(db);
      await sql`insert into evidence_state values (1, 0, '[]')`.execute(db);
      await sql`create table evidence_entries (
        index bigint primary key,
        leaf text not null,
        project_id text,
        created_at timestamptz not null
      )`.execute(db);
      await sql`create index evidence_entries_project
        on evidence_entries (project_id, index)`.execute(db);
      await sql`create table evidence_nodes (
        level integer not null,
        index bigint not null,
        hash text not null,
        primary key (level, index)
      )`.execute(db);
      await sql`create table evidence_heads (
        size bigint not null,
        root text not null,
        checkpoint text not null,
        verifier_key text not null,
        created_at timestamptz not null,
        primary key (size, verifier_key)
      )`.execute(db);
    },
  },
};
