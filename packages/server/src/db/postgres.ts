// Drivers 1 and 2: a Postgres reached through a pool of connections, whoever runs it.
import { Kysely, PostgresDialect } from 'kysely';
import { Pool, types, type PoolConfig } from 'pg';
import type { Database, DatabaseKind } from './database.ts';
import type { Tables } from './tables.ts';

const int8 = 20;

/** int8 counts and sizes stay far below 2^53 and are wanted as numbers, as PGlite gives them. */
const numberFromInt8 = (text: string): number => {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new Error(`int8 ${text} does not fit a number`);
  return value;
};

const parsers: NonNullable<PoolConfig['types']> = {
  getTypeParser: (oid: number, format?: 'text' | 'binary') =>
    oid === int8 && format !== 'binary' ? numberFromInt8 : types.getTypeParser(oid, format),
};

export interface PostgresOptions {
  readonly kind: DatabaseKind;
  readonly connection: PoolConfig;
  readonly pool: number;
  /** A connection broke; the pool replaces it. */
  readonly onError: (error: Error) => void;
  /** After the pool is closed. */
  readonly onClose?: () => Promise<void>;
}

/** Opens the pool and proves that the database answers; throws what pg throws. */
export async function postgresDatabase(options: PostgresOptions): Promise<Database> {
  const { kind, connection, pool: max, onError, onClose = async () => undefined } = options;
  const pool = new Pool({
    connectionTimeoutMillis: 10_000,
    application_name: 'corral',
    ...connection,
    max,
    types: parsers,
  });
  pool.on('error', onError);
  // A connection in use tells its user by a rejection as well; unheard, the event would end the process.
  pool.on('connect', (client) => void client.on('error', onError));
  try {
    const { rows } = await pool.query<{ version: string; schema: string }>(
      `select current_setting('server_version') as version, current_schema() as schema`,
    );
    const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
    let closing: Promise<void> | null = null;
    const close = (): Promise<void> => (closing ??= db.destroy().then(onClose));
    return {
      kind,
      version: (rows[0]?.version ?? 'unknown').split(' ')[0] ?? 'unknown',
      db,
      sql: {
        async executeSql(text, values) {
          const result = await pool.query(text, values);
          // A script without values gives one result a statement.
          const results = Array.isArray(result) ? (result as { rows: unknown[] }[]) : [result];
          return { rows: results.flatMap((one) => one.rows as unknown[]) };
        },
      },
      schema: rows[0]?.schema ?? 'public',
      close,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await pool.end();
    throw error;
  }
}
