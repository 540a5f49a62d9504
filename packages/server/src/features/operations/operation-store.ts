// Rows of operations. Knows SQL, no rules.
import type { Operation } from '@corral/contracts';
import { sql } from 'kysely';
import type { Selectable } from 'kysely';
import type { Executor } from '../../db/database.ts';
import type { OperationsTable } from './operations-tables.ts';

type NewOperation = Pick<
  OperationsTable,
  'id' | 'project' | 'kind' | 'message' | 'created_at' | 'owner'
>;
type FinishedOperation = Pick<Operation, 'status' | 'result' | 'error'> & {
  readonly message: string;
  readonly finished_at: Date;
};

/** By the database's clock, which all servers share. */
const leaseEnd = (seconds: number) => sql<Date>`now() + make_interval(secs => ${seconds})`;

const asJson = (value: unknown): string | null => (value === null ? null : JSON.stringify(value));

export const operationStore = {
  async insert(executor: Executor, operation: NewOperation, leaseSeconds: number): Promise<void> {
    await executor
      .insertInto('operations')
      .values({
        ...operation,
        status: 'running',
        result: null,
        error: null,
        finished_at: null,
        lease_expires_at: leaseEnd(leaseSeconds),
      })
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

  /** All that this process does. */
  async renew(executor: Executor, owner: string, leaseSeconds: number): Promise<void> {
    await executor
      .updateTable('operations')
      .set({ lease_expires_at: leaseEnd(leaseSeconds) })
      .where('owner', '=', owner)
      .where('status', '=', 'running')
      .execute();
  },

  /** What nobody does any more: leases that ran out, and those of dead processes of one server. */
  async failAbandoned(
    executor: Executor,
    { at, server, owner }: { at: Date; server: string; owner: string },
  ): Promise<void> {
    const error = {
      code: 'cancelled',
      message: 'The server stopped while this was running.',
      next: 'Start it again; a download goes on where it was.',
    };
    await executor
      .updateTable('operations')
      .set({ status: 'failed', error: asJson(error), message: error.message, finished_at: at })
      .where('status', '=', 'running')
      .where((where) =>
        where.or([
          where('lease_expires_at', 'is', null),
          where('lease_expires_at', '<', sql<Date>`now()`),
          where.and([sql<boolean>`starts_with(owner, ${server})`, where('owner', '!=', owner)]),
        ]),
      )
      .execute();
  },
};
