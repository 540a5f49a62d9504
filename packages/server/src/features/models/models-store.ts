// Rows of models. Knows SQL, no rules.
import type { Parity } from '@corral/contracts';
import type { Selectable } from 'kysely';
import type { Executor, Tx } from '../../db/database.ts';
import type { ModelsTable } from './models-tables.ts';

export type ModelRow = Selectable<ModelsTable>;

export interface ServedName {
  readonly name: string;
  readonly model: string;
  readonly created_at: Date;
}

export const modelsStore = {
  /** A model that the project may see: shared, or its own. */
  find: (executor: Executor, project: string, id: string): Promise<ModelRow | undefined> =>
    executor
      .selectFrom('models')
      .selectAll()
      .where('id', '=', id)
      .where((where) => where.or([where('project', 'is', null), where('project', '=', project)]))
      .executeTakeFirst(),

  /** The same, held until the transaction ends; before the audit event, which all changes wait for. */
  lock: (tx: Tx, project: string, id: string): Promise<ModelRow | undefined> =>
    tx
      .selectFrom('models')
      .selectAll()
      .where('id', '=', id)
      .where((where) => where.or([where('project', 'is', null), where('project', '=', project)]))
      .forUpdate()
      .executeTakeFirst(),

  list: (executor: Executor, project: string): Promise<ModelRow[]> =>
    executor
      .selectFrom('models')
      .selectAll()
      .where((where) => where.or([where('project', 'is', null), where('project', '=', project)]))
      .orderBy('created_at')
      .orderBy('id')
      .execute(),

  /** In any project: an id is taken wherever it is. */
  exists: async (executor: Executor, id: string): Promise<boolean> =>
    (await executor.selectFrom('models').select('id').where('id', '=', id).executeTakeFirst()) !==
    undefined,

  async insert(tx: Tx, model: ModelRow): Promise<void> {
    const { license, parity, ...rest } = model;
    await tx
      .insertInto('models')
      .values({
        ...rest,
        license: JSON.stringify(license),
        parity: parity === null ? null : JSON.stringify(parity),
      })
      .execute();
  },

  async setParity(tx: Tx, id: string, parity: Parity): Promise<void> {
    await tx
      .updateTable('models')
      .set({ parity: JSON.stringify(parity) })
      .where('id', '=', id)
      .execute();
  },

  /** A model on another server that is now reached otherwise. */
  async readdress(
    tx: Tx,
    id: string,
    to: Pick<ModelRow, 'sha256' | 'serving_sha256' | 'context_length'>,
  ): Promise<void> {
    const { sha256, serving_sha256, context_length } = to;
    const values = { sha256, serving_sha256, context_length };
    await tx.updateTable('models').set(values).where('id', '=', id).execute();
  },

  /** In any project. */
  findAnywhere: (executor: Executor, id: string): Promise<ModelRow | undefined> =>
    executor.selectFrom('models').selectAll().where('id', '=', id).executeTakeFirst(),

  async remove(tx: Tx, id: string): Promise<void> {
    await tx.deleteFrom('models').where('id', '=', id).execute();
  },

  adaptersOf: async (executor: Executor, base: string): Promise<string[]> => {
    const rows = await executor
      .selectFrom('models')
      .select('id')
      .where('base', '=', base)
      .execute();
    return rows.map(({ id }) => id);
  },

  /** Whether another row still needs a file. */
  isFileUsed: async (executor: Executor, path: string): Promise<boolean> =>
    (await executor
      .selectFrom('models')
      .select('id')
      .where((where) => where.or([where('path', '=', path), where('serving_path', '=', path)]))
      .executeTakeFirst()) !== undefined,

  /** Deployed names that stand for a model, in any project. */
  namesOf: async (executor: Executor, model: string): Promise<string[]> => {
    const rows = await executor
      .selectFrom('deployments')
      .select('name')
      .where('model', '=', model)
      .execute();
    return rows.map(({ name }) => name);
  },

  /** By the id of each of `models`: the base that serves it, and its file. Others are left out. */
  async servedBases(
    executor: Executor,
    models: readonly string[],
  ): Promise<ReadonlyMap<string, { id: string; modelPath: string }>> {
    if (models.length === 0) return new Map();
    const rows = await executor
      .selectFrom('models')
      .leftJoin('models as bases', 'bases.id', 'models.base')
      .select(['models.id', 'models.base', 'models.serving_path', 'bases.serving_path as file'])
      .where('models.id', 'in', models)
      .execute();
    return new Map(
      rows.flatMap(({ id, base, serving_path, file }) => {
        const modelPath = base === null ? serving_path : file;
        return modelPath === null ? [] : [[id, { id: base ?? id, modelPath }] as const];
      }),
    );
  },

  /** Names that answer to requests beside the base models' own. */
  servedNames: (executor: Executor, project: string): Promise<ServedName[]> =>
    executor
      .selectFrom('deployments')
      .select(['name', 'model', 'created_at'])
      .where('project', '=', project)
      .orderBy('created_at')
      .execute(),
};
