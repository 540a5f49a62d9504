// Rows of projects and keys. Knows SQL, no rules.
import type { KeyScope } from '@corral/contracts';
import type { Selectable } from 'kysely';
import type { Executor, Tx } from '../../db/database.ts';
import type { ApiKeysTable, ProjectsTable } from './access-tables.ts';

export type ProjectRow = Selectable<ProjectsTable>;
export type ApiKeyRow = Selectable<ApiKeysTable>;

export interface NewApiKey {
  readonly id: string;
  readonly project_id: string;
  readonly name: string;
  readonly hash: string;
  readonly hint: string;
  readonly scopes: readonly KeyScope[];
  readonly created_at: Date;
  readonly expires_at: Date | null;
}

export const accessStore = {
  findProject: (executor: Executor, idOrName: string): Promise<ProjectRow | undefined> =>
    executor
      .selectFrom('projects')
      .selectAll()
      .where((where) => where.or([where('id', '=', idOrName), where('name', '=', idOrName)]))
      .executeTakeFirst(),

  listProjects: (executor: Executor): Promise<ProjectRow[]> =>
    executor.selectFrom('projects').selectAll().orderBy('created_at').execute(),

  async insertProject(tx: Tx, project: ProjectRow): Promise<void> {
    await tx.insertInto('projects').values(project).execute();
  },

  findKeyByHash: (
    executor: Executor,
    hash: string,
  ): Promise<(ApiKeyRow & { operator: boolean }) | undefined> =>
    executor
      .selectFrom('api_keys')
      .innerJoin('projects', 'projects.id', 'api_keys.project_id')
      .selectAll('api_keys')
      .select('projects.operator')
      .where('hash', '=', hash)
      .executeTakeFirst(),

  /** A project's own key; null project: any. */
  findKey(executor: Executor, id: string, project: string | null): Promise<ApiKeyRow | undefined> {
    let query = executor.selectFrom('api_keys').selectAll().where('id', '=', id);
    if (project !== null) query = query.where('project_id', '=', project);
    return query.executeTakeFirst();
  },

  listKeys(executor: Executor, project: string | null): Promise<ApiKeyRow[]> {
    let query = executor.selectFrom('api_keys').selectAll();
    if (project !== null) query = query.where('project_id', '=', project);
    return query.orderBy('created_at', 'desc').orderBy('id', 'desc').execute();
  },

  async insertKey(tx: Tx, key: NewApiKey): Promise<void> {
    await tx
      .insertInto('api_keys')
      .values({
        ...key,
        scopes: JSON.stringify(key.scopes),
        revoked_at: null,
        last_used_at: null,
      })
      .execute();
  },

  async revokeKey(tx: Tx, id: string, at: Date): Promise<void> {
    await tx.updateTable('api_keys').set({ revoked_at: at }).where('id', '=', id).execute();
  },

  async touchKeys(executor: Executor, uses: ReadonlyMap<string, Date>): Promise<void> {
    for (const [id, at] of uses)
      await executor
        .updateTable('api_keys')
        .set({ last_used_at: at })
        .where('id', '=', id)
        .execute();
  },
};
