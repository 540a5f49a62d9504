// The database seam: one SQL dialect, three drivers (a Postgres given by URL, the embedded Postgres,
// PGlite). Above this file nobody knows which one runs.
import type { Kysely, Transaction } from 'kysely';
import type { Tables } from './tables.ts';

/** Outside a transaction. */
export type Db = Kysely<Tables>;
/** Inside a transaction. Whatever writes takes one of these, so that forgetting it does not compile. */
export type Tx = Transaction<Tables>;
/** For reads that may run in either. */
export type Executor = Db | Tx;

export type DatabaseKind = 'embedded' | 'external' | 'pglite';

/** Plain SQL for the job queue, which brings its own statements. Without values: a script. */
export interface SqlExecutor {
  executeSql(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>;
}

export interface Database {
  readonly kind: DatabaseKind;
  /** For example `18.4`. */
  readonly version: string;
  readonly db: Db;
  readonly sql: SqlExecutor;
  /** Schema that holds Corral's tables; the queue's is `<schema>_jobs` unless it is `public`. */
  readonly schema: string;
  /** Idempotent. Stops the embedded server too. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
