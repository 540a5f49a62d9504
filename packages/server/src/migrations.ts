// All migrations of all features, in one ordered table. A feature's own are in its `*-tables.ts`.
import { servingMigrations } from './compose-serving.ts';
import type { FeatureMigrations } from './db/tables.ts';
import { accessMigrations } from './features/access/index.ts';
import { evidenceMigrations } from './features/evidence/index.ts';
import { filesMigrations } from './features/files/index.ts';
import { fineTuningMigrations } from './features/fine-tuning/index.ts';
import { idempotencyMigrations } from './idempotency/idempotency-tables.ts';

export const migrations: FeatureMigrations = {
  ...accessMigrations,
  ...evidenceMigrations,
  ...idempotencyMigrations,
  ...filesMigrations,
  ...fineTuningMigrations,
  ...servingMigrations,
};
