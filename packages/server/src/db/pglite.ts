// Driver 3: PGlite, Postgres compiled to WebAssembly in this process. For tests, and where no Postgres
// can run. It has one session, so whoever acquires it holds it alone until released; Kysely's own PGlite
// driver lets two transactions share it, and a query outside a transaction slip into one.
import type { PGlite } from '@electric-sql/pglite';
import {
  CompiledQuery,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type DatabaseConnection,
  type Driver,
  type QueryResult,
} from 'kysely';
import type { Database, SqlExecutor } from './database.ts';
import type { Tables } from './tables.ts';

/** One at a time, in order of asking. */
class Turnstile {
  #last: Promise<void> = Promise.resolve();

  async enter(): Promise<() => void> {
    const before = this.#last;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#last = promise;
    await before;
    return resolve;
  }
}

/** A PGlite instance with its turnstile; several schemas may be opened on it (tests do). */
export class PgliteSession {
  readonly pglite: PGlite;
  readonly #turnstile = new Turnstile();
  #schema = 'public';

  constructor(pglite: PGlite) {
    this.pglite = pglite;
  }

  /** Exclusive use, with unqualified names meaning `schema`, until the returned function is called. */
  async acquire(schema: string): Promise<() => void> {
    const release = await this.#turnstile.enter();
    try {
      if (this.#schema !== schema) {
        await this.pglite.exec(`set search_path to "${schema}"`);
        this.#schema = schema;
      }
      return release;
    } catch (error) {
      release();
      throw error;
    }
  }
}

class PgliteDriver implements Driver {
  readonly #session: PgliteSession;
  readonly #schema: string;
  readonly #releases = new WeakMap<DatabaseConnection, () => void>();

  constructor(session: PgliteSession, schema: string) {
    this.#session = session;
    this.#schema = schema;
  }

  async init(): Promise<void> {
    await this.#session.pglite.waitReady;
  }

  async acquireConnection(): Promise<DatabaseConnection> {
    const release = await this.#session.acquire(this.#schema);
    const connection = connectionTo(this.#session.pglite);
    this.#releases.set(connection, release);
    return connection;
  }

  async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('begin'));
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('commit'));
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('rollback'));
  }

  async releaseConnection(connection: DatabaseConnection): Promise<void> {
    this.#releases.get(connection)?.();
  }

  async destroy(): Promise<void> {
    // The session belongs to whoever opened it.
  }
}

const connectionTo = (pglite: PGlite): DatabaseConnection => ({
  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    const { rows, affectedRows } = await pglite.query<R>(query.sql, [...query.parameters]);
    return affectedRows === undefined ? { rows } : { rows, numAffectedRows: BigInt(affectedRows) };
  },
  // oxlint-disable-next-line require-yield -- the interface wants a generator; nobody streams rows
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error('PGlite does not stream.');
  },
});

/** The queue's statements: one with values, or a script without. */
const executorOf = (session: PgliteSession, schema: string): SqlExecutor => ({
  async executeSql(text, values) {
    const release = await session.acquire(schema);
    try {
      if (values !== undefined && values.length > 0)
        return { rows: (await session.pglite.query(text, values)).rows };
      const results = await session.pglite.exec(text);
      return { rows: results.flatMap((result) => result.rows) };
    } catch (error) {
      // A script may fail between its own begin and commit; the session must not stay aborted.
      await session.pglite.exec('rollback');
      throw error;
    } finally {
      release();
    }
  },
});

/** A database over one schema of a session. Closing it runs `onClose`. */
export async function pgliteDatabase(options: {
  session: PgliteSession;
  schema: string;
  onClose: () => Promise<void>;
}): Promise<Database> {
  const { session, schema, onClose } = options;
  const db = new Kysely<Tables>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new PgliteDriver(session, schema),
      createIntrospector: (executor) => new PostgresIntrospector(executor),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
  });
  const { rows } = await session.pglite.query<{ version: string }>(
    `select current_setting('server_version') as version`,
  );
  let closing: Promise<void> | null = null;
  const close = (): Promise<void> => (closing ??= db.destroy().then(onClose));
  return {
    kind: 'pglite',
    version: rows[0]?.version ?? 'unknown',
    db,
    sql: executorOf(session, schema),
    schema,
    close,
    [Symbol.asyncDispose]: close,
  };
}
