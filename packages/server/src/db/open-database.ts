// Chooses and opens the database: the URL when there is one, else the embedded Postgres, else PGlite with
// a warning. The rest of the server sees `Database`.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CorralError } from '@corral/contracts';
import type { Config } from '../config.ts';
import type { HomePaths } from '../home.ts';
import { acquireLock } from '../home-lock.ts';
import type { Database } from './database.ts';
import { startEmbeddedPostgres } from './embedded-postgres.ts';
import { PgliteSession, pgliteDatabase } from './pglite.ts';
import { postgresDatabase } from './postgres.ts';

export interface OpenDatabaseOptions {
  readonly config: Config['database'];
  readonly home: HomePaths;
  readonly warn: (message: string, error?: unknown) => void;
}

/** Throws `database_unreachable` (a URL that does not answer) or `native_library_missing`. */
export async function openDatabase({ config, home, warn }: OpenDatabaseOptions): Promise<Database> {
  const { url, driver, pool } = config;
  const onError = (error: Error): void => warn(error.message, error);
  if (driver === 'external' || (driver === 'auto' && url !== undefined)) {
    if (url === undefined) throw unreachable('DATABASE_URL is not set');
    try {
      return await postgresDatabase({
        kind: 'external',
        connection: { connectionString: url },
        pool,
        onError,
      });
    } catch (error) {
      throw unreachable(reasonOf(error), error);
    }
  }
  if (driver === 'pglite') return openPglite(home);
  try {
    return await openEmbedded({ folder: home.postgres, pool, onError });
  } catch (error) {
    if (driver === 'embedded') throw error;
    warn(
      `${reasonOf(error)}. PGlite is used instead: it is slower, and a power cut can lose data. ` +
        'Set DATABASE_URL for real work.',
      error,
    );
    return openPglite(home);
  }
}

async function openEmbedded(options: {
  folder: string;
  pool: number;
  onError: (error: Error) => void;
}): Promise<Database> {
  const { folder, pool, onError } = options;
  const server = await startEmbeddedPostgres(folder, onError);
  try {
    return await postgresDatabase({
      kind: 'embedded',
      connection: { ...server.connection },
      pool,
      onError,
      onClose: () => server.stop(),
    });
  } catch (error) {
    await server.stop();
    throw error;
  }
}

async function openPglite(home: HomePaths): Promise<Database> {
  const folder = join(home.root, 'pglite');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  // PGlite opens a folder twice without a word and then destroys it.
  const lock = await acquireLock(join(folder, 'lock'));
  try {
    const { PGlite } = await import('@electric-sql/pglite');
    const pglite = await PGlite.create(join(folder, 'data'));
    return await pgliteDatabase({
      session: new PgliteSession(pglite),
      schema: 'public',
      async onClose() {
        await pglite.close();
        await lock.release();
      },
    });
  } catch (error) {
    await lock.release();
    throw error;
  }
}

const unreachable = (reason: string, cause?: unknown): CorralError =>
  new CorralError('database_unreachable', { params: { reason }, cause });

/** pg's AggregateError (one for each address tried) has no message of its own. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '')
    return error.errors.map((one) => reasonOf(one)).join('; ');
  return error instanceof Error ? error.message : String(error);
}
