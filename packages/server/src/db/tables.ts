// The shape of the whole database, as types. Each feature adds its own tables from its `*-tables.ts` by
// module augmentation, so this file knows none of them and a feature's folder can be deleted:
//   declare module '../../db/tables.ts' { interface Tables { files: FilesTable } }
import type { ColumnType } from 'kysely';
import type { Migration } from 'kysely/migration';

// oxlint-disable-next-line typescript/no-empty-interface -- filled by the features through augmentation
export interface Tables {}

/** jsonb: read as a value, written as JSON text (`JSON.stringify`), which every driver takes alike. */
export type Json<T> = ColumnType<T, string, string>;
/** jsonb that may be null. */
export type NullableJson<T> = ColumnType<T | null, string | null, string | null>;
/** timestamptz: a Date in both directions. */
export type Timestamp = Date;

/**
 * Migrations of one feature. Keys sort over all features (`0100_files_create`): four digits, the
 * feature, what. Table names stay unqualified; the connection's search path decides the schema.
 */
export type FeatureMigrations = Readonly<Record<string, Migration>>;
