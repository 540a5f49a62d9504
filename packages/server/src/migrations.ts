// All migrations of all features, in one ordered table. A feature's own are in its `*-tables.ts`.
import type { FeatureMigrations } from './db/tables.ts';
import { accessMigrations } from './features/access/index.ts';
import { evidenceMigrations } from './features/evidence/index.ts';

export const migrations: FeatureMigrations = { ...accessMigrations, ...evidenceMigrations };
