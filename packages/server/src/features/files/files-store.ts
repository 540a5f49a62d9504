// Rows of files. Every question names the project, so that another's file cannot be found.
import type { Insertable, Selectable } from 'kysely';
import type { Executor, Tx } from '../../db/database.ts';
import type { FilesTable } from './files-tables.ts';

export type FileRow = Selectable<FilesTable>;

export interface FilePage {
  readonly project: string;
  readonly purpose: string | undefined;
  /** Sequence of the last file already seen. */
  readonly after: number | null;
  readonly limit: number;
  readonly order: 'asc' | 'desc';
}

export const filesStore = {
  find: (executor: Executor, project: string, id: string): Promise<FileRow | undefined> =>
    executor
      .selectFrom('files')
      .selectAll()
      .where('project_id', '=', project)
      .where('id', '=', id)
      .executeTakeFirst(),

  list(
    executor: Executor,
    { project, purpose, after, limit, order }: FilePage,
  ): Promise<FileRow[]> {
    let query = executor.selectFrom('files').selectAll().where('project_id', '=', project);
    if (purpose !== undefined) query = query.where('purpose', '=', purpose);
    if (after !== null) query = query.where('sequence', order === 'asc' ? '>' : '<', after);
    return query.orderBy('sequence', order).limit(limit).execute();
  },

  insert: (tx: Tx, row: Insertable<FilesTable>): Promise<FileRow> =>
    tx.insertInto('files').values(row).returningAll().executeTakeFirstOrThrow(),

  async remove(tx: Tx, id: string): Promise<void> {
    await tx.deleteFrom('files').where('id', '=', id).execute();
  },

  /** Whether any project still has a file with this content. */
  async isContentUsed(executor: Executor, sha256: string): Promise<boolean> {
    const found = await executor
      .selectFrom('files')
      .select('id')
      .where('sha256', '=', sha256)
      .limit(1)
      .executeTakeFirst();
    return found !== undefined;
  },
};
