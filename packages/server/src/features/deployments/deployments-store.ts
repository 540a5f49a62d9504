// Rows of deployments. Knows SQL, no rules.
import type { Selectable } from 'kysely';
import type { Executor, Tx } from '../../db/database.ts';
import type { DeploymentsTable } from './deployments-tables.ts';

export type DeploymentRow = Selectable<DeploymentsTable>;

export const deploymentsStore = {
  /** With the base of each model (its own id where it is one). */
  list: (
    executor: Executor,
    project: string,
  ): Promise<(DeploymentRow & { base: string | null })[]> =>
    executor
      .selectFrom('deployments')
      .innerJoin('models', 'models.id', 'deployments.model')
      .selectAll('deployments')
      .select('models.base')
      .where('deployments.project', '=', project)
      .orderBy('deployments.created_at')
      .orderBy('deployments.name')
      .execute(),

  find: (executor: Executor, project: string, name: string): Promise<DeploymentRow | undefined> =>
    executor
      .selectFrom('deployments')
      .selectAll()
      .where('project', '=', project)
      .where('name', '=', name)
      .executeTakeFirst(),

  /** Locked until the transaction ends, so that two changes of one name follow each other. */
  lock: (tx: Tx, project: string, name: string): Promise<DeploymentRow | undefined> =>
    tx
      .selectFrom('deployments')
      .selectAll()
      .where('project', '=', project)
      .where('name', '=', name)
      .forUpdate()
      .executeTakeFirst(),

  async insert(tx: Tx, row: DeploymentRow): Promise<void> {
    await tx.insertInto('deployments').values(row).execute();
  },

  async point(
    tx: Tx,
    id: string,
    to: Pick<DeploymentRow, 'model' | 'previous_model' | 'pinned' | 'updated_at'>,
  ): Promise<void> {
    await tx.updateTable('deployments').set(to).where('id', '=', id).execute();
  },

  /** Models of pinned deployments, in any project. */
  pinnedModels: async (executor: Executor): Promise<string[]> => {
    const rows = await executor
      .selectFrom('deployments')
      .select('model')
      .where('pinned', '=', true)
      .execute();
    return rows.map(({ model }) => model);
  },

  async remove(tx: Tx, id: string): Promise<void> {
    await tx.deleteFrom('deployments').where('id', '=', id).execute();
  },

  /** Names that answer with a model. */
  namesOf: async (executor: Executor, project: string, model: string): Promise<string[]> => {
    const rows = await executor
      .selectFrom('deployments')
      .select('name')
      .where('project', '=', project)
      .where('model', '=', model)
      .execute();
    return rows.map(({ name }) => name);
  },
};
