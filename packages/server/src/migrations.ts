// All migrations of all features, in one ordered table. A feature's own are in its `*-tables.ts`.
import type { FeatureMigrations } from './db/tables.ts';

export const migrations: FeatureMigrations = {};
