// A database for a test: a fresh schema in one PGlite that all tests of a file share. Same SQL as
// production, in memory, gone with the process.
import { PGlite } from '@electric-sql/pglite';
import { migrations } from '../migrations.ts';
import type { Database } from './database.ts';
import { migrate } from './migrate.ts';
import { PgliteSession, pgliteDatabase } from './pglite.ts';

let session: Promise<PgliteSession> | null = null;
let schemas = 0;

/** A migrated, empty database. Close it when the test ends. */
export async function createTestDb(): Promise<Database> {
  session ??= PGlite.create().then((pglite) => new PgliteSession(pglite));
  const shared = await session;
  schemas += 1;
  const schema = `test_${schemas}`;
  const release = await shared.acquire('public');
  await shared.pglite.exec(`create schema "${schema}"`).finally(release);
  const database = await pgliteDatabase({
    session: shared,
    schema,
    onClose: async () => {
      const done = await shared.acquire('public');
      await shared.pglite
        .exec(`drop schema "${schema}" cascade; drop schema if exists "${schema}_jobs" cascade`)
        .finally(done);
    },
  });
  await migrate(database, migrations);
  return database;
}
