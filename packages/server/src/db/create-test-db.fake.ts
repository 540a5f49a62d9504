// A database for a test: a fresh schema in one PGlite that all tests of a file share. Same SQL as
// production, in memory, gone with the process. Making an empty cluster costs seconds of CPU, so one is
// kept, dumped, beside the other caches of the tool chain (node_modules/.cache).
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { migrations } from '../migrations.ts';
import type { Database } from './database.ts';
import { migrate } from './migrate.ts';
import { PgliteSession, pgliteDatabase } from './pglite.ts';

let session: Promise<PgliteSession> | null = null;
let schemas = 0;

/** A migrated, empty database. Close it when the test ends. */
export async function createTestDb(): Promise<Database> {
  session ??= openEmptyCluster().then((pglite) => new PgliteSession(pglite));
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

async function openEmptyCluster(): Promise<PGlite> {
  const path = cachePath();
  if (existsSync(path)) return PGlite.create({ loadDataDir: new Blob([await readFile(path)]) });
  const pglite = await PGlite.create();
  const dump = await pglite.dumpDataDir('none');
  const aside = `${path}.${process.pid}`;
  await mkdir(dirname(path), { recursive: true });
  await writeFile(aside, Buffer.from(await dump.arrayBuffer()));
  await rename(aside, path);
  return pglite;
}

/** Named after the version, so that an upgrade makes its own. */
function cachePath(): string {
  // …/node_modules/@electric-sql/pglite/dist/index.cjs
  const entry = createRequire(import.meta.url).resolve('@electric-sql/pglite');
  const [modules = ''] = entry.split(join('@electric-sql', 'pglite'));
  const manifest = join(modules, '@electric-sql', 'pglite', 'package.json');
  const { version } = createRequire(import.meta.url)(manifest) as { version: string };
  return join(modules, '.cache', 'corral', `pglite-${version}.tar`);
}
