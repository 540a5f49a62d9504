// What a `system_fingerprint` stands for: written down the first time it is given out, so that an answer
// leads back to the exact bytes that made it, even after the model is gone.
import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import type { Db } from '../../db/database.ts';
import type { FeatureMigrations, Json, Timestamp } from '../../db/tables.ts';

/** Everything that decides an answer besides the request. */
interface ServingFacts {
  readonly model: string;
  readonly base: string;
  /** Of the file that the engine has loaded. */
  readonly base_sha256: string;
  readonly serving_format: string | null;
  readonly adapter_sha256: string | null;
  readonly engine_build: string;
  readonly policy_digest: string;
}

interface FingerprintsTable {
  fingerprint: string;
  project: string;
  facts: Json<ServingFacts>;
  first_seen: Timestamp;
}

declare module '../../db/tables.ts' {
  interface Tables {
    serving_fingerprints: FingerprintsTable;
  }
}

export const gatewayMigrations: FeatureMigrations = {
  '0530_gateway_create_fingerprints': {
    async up(db) {
      await sql`create table serving_fingerprints (
        fingerprint text not null,
        project text not null,
        facts jsonb not null,
        first_seen timestamptz not null,
        primary key (project, fingerprint)
      )`.execute(db);
    },
  },
};

/** `fp_` and 80 bits over the facts in their fixed order. */
function fingerprintOf(facts: ServingFacts): string {
  const parts = [
    facts.model,
    facts.base,
    facts.base_sha256,
    facts.adapter_sha256,
    facts.engine_build,
    facts.policy_digest,
  ];
  return `fp_${createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 20)}`;
}

export interface FingerprintStore {
  /** Writes each fingerprint once. */
  remember(project: string, facts: ServingFacts): Promise<string>;
  find(project: string, fingerprint: string): Promise<ServingFacts | undefined>;
}

export function createFingerprintStore(db: Db): FingerprintStore {
  const known = new Set<string>();
  return {
    async remember(project, facts) {
      const fingerprint = fingerprintOf(facts);
      const key = `${project} ${fingerprint}`;
      if (!known.has(key)) {
        await db
          .insertInto('serving_fingerprints')
          .values({ fingerprint, project, facts: JSON.stringify(facts), first_seen: new Date() })
          .onConflict((conflict) => conflict.doNothing())
          .execute();
        known.add(key);
      }
      return fingerprint;
    },
    async find(project, fingerprint) {
      const row = await db
        .selectFrom('serving_fingerprints')
        .select('facts')
        .where('project', '=', project)
        .where('fingerprint', '=', fingerprint)
        .executeTakeFirst();
      return row?.facts;
    },
  };
}
