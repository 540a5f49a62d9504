// Brings the schema up to date. Migrations are TypeScript modules compiled in with the server: no folder
// is read, no command line is needed. Concurrent servers wait for each other on Kysely's lock.
import { Migrator } from 'kysely/migration';
import type { Database } from './database.ts';
import type { FeatureMigrations } from './tables.ts';

/** Names of the migrations that ran, in order. Throws the first failure; what went before stays. */
export async function migrate(
  { db, schema }: Database,
  migrations: FeatureMigrations,
): Promise<readonly string[]> {
  const migrator = new Migrator({
    db,
    provider: { getMigrations: async () => ({ ...migrations }) },
    migrationTableName: 'corral_migration',
    migrationLockTableName: 'corral_migration_lock',
    migrationTableSchema: schema,
    // Features number their own; a later release may add one between those already run.
    allowUnorderedMigrations: true,
  });
  const { error, results = [] } = await migrator.migrateToLatest();
  if (error !== undefined) {
    const failed = results.find(({ status }) => status === 'Error')?.migrationName ?? 'unknown';
    throw new Error(`Migration ${failed} failed`, { cause: error });
  }
  return results.map(({ migrationName }) => migrationName);
}
