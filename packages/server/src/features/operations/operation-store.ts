// Rows of operations. Knows SQL, no rules.
import type { Operation } from '@corral/contracts';
import type { Selectable } from 'kysely';
import type { Executor } from '../../db/database.ts';
import type { OperationsTable } from './operations-tables.ts';

type NewOperation = Pick<OperationsTable, 'id' | 'project' | 'kind' | 'message' | 'created_at'>;
type FinishedOperation = Pick<Operation, 'status' | 'result' | 'error'> & {
  readonly message: string;
  readonly finished_at: Date;
};

const asJson = (value: unknown): string | null => (value === null ? null : JSON.stringify(value));

export const operationStore = {
  async insert(executor: Executor, operation: NewOperation): Promise<void> {
    await executor
      .insertInto('operations')
      .values({ ...operation, status: 'running', result: null, error: null, finished_at: null })
      .execute();
  },

  async finish(executor: Executor, id: string, end: FinishedOperation): Promise<void> {
    await executor
      .updateTable('operations')
      .set({ ...end, result: asJson(end.result), error: asJson(end.error) })
      .where('id', '=', id)
      .execute();
  },

  find: (
    executor: Executor,
    project: string,
    id: string,
  ): Promise<Selectable<OperationsTable> | undefined> =>
    executor
      .selectFrom('operations')
      .selectAll()
      .where('id', '=', id)
      .where('project', '=', project)
      .executeTakeFirst(),

  async failRunning(executor: Executor, at: Date): Promise<void> {
    const error = {
      code: 'cancelled',
      message: 'The server stopped while this was running.',
      next: 'Start it again; a download goes on where it was.',
    };
    await executor
      .updateTable('operations')
      .set({ status: 'failed', error: asJson(error), message: error.message, finished_at: at })
      .where('status', '=', 'running')
      .execute();
  },
};
