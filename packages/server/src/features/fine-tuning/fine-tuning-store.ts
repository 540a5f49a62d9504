// Rows of jobs, events and checkpoints. Questions of callers name the project; writes of a runner name its
// lease token, so that one who lost the lease changes nothing.
import type { FineTuningStatus } from '@corral/contracts';
import { sql, type Insertable, type Selectable, type Updateable } from 'kysely';
import type { Executor, Tx } from '../../db/database.ts';
import type {
  FineTuningCheckpointsTable,
  FineTuningEventsTable,
  FineTuningJobsTable,
} from './fine-tuning-tables.ts';
import { isFinal, statesWithWork, unfinishedStates } from './job-state.ts';

export type JobRow = Selectable<FineTuningJobsTable>;
export type JobChange = Updateable<FineTuningJobsTable>;
export type EventRow = Selectable<FineTuningEventsTable>;
export type CheckpointRow = Selectable<FineTuningCheckpointsTable>;

export interface CursorPage {
  readonly after: number | null;
  readonly limit: number;
}
export interface Lease {
  readonly job: string;
  readonly token: number;
}

const leaseEnd = (seconds: number) => sql<Date>`now() + make_interval(secs => ${seconds})`;

export const jobStore = {
  insert: (tx: Tx, row: Insertable<FineTuningJobsTable>): Promise<JobRow> =>
    tx.insertInto('fine_tuning_jobs').values(row).returningAll().executeTakeFirstOrThrow(),

  find(executor: Executor, project: string | null, id: string): Promise<JobRow | undefined> {
    let query = executor.selectFrom('fine_tuning_jobs').selectAll().where('id', '=', id);
    if (project !== null) query = query.where('project_id', '=', project);
    return query.executeTakeFirst();
  },

  /** The same, held until the transaction ends. */
  lock(tx: Tx, project: string | null, id: string): Promise<JobRow | undefined> {
    let query = tx.selectFrom('fine_tuning_jobs').selectAll().where('id', '=', id).forUpdate();
    if (project !== null) query = query.where('project_id', '=', project);
    return query.executeTakeFirst();
  },

  /** Newest first. */
  list(
    executor: Executor,
    page: CursorPage & { project: string; metadata: Readonly<Record<string, string>> | null },
  ): Promise<JobRow[]> {
    const { project, after, limit, metadata } = page;
    let query = executor
      .selectFrom('fine_tuning_jobs')
      .selectAll()
      .where('project_id', '=', project);
    if (after !== null) query = query.where('sequence', '<', after);
    if (metadata !== null)
      query = query.where(sql<boolean>`metadata @> ${JSON.stringify(metadata)}::jsonb`);
    return query.orderBy('sequence', 'desc').limit(limit).execute();
  },

  update: (tx: Tx, id: string, change: JobChange): Promise<JobRow> =>
    tx
      .updateTable('fine_tuning_jobs')
      .set(change)
      .where('id', '=', id)
      .returningAll()
      .executeTakeFirstOrThrow(),

  /** Takes a job that has work and no living runner; undefined when there is none to take. */
  claim: (
    executor: Executor,
    { id, owner, seconds }: { id: string; owner: string; seconds: number },
  ): Promise<JobRow | undefined> =>
    executor
      .updateTable('fine_tuning_jobs')
      .set((change) => ({
        lease_owner: owner,
        lease_token: change('lease_token', '+', 1),
        lease_expires_at: leaseEnd(seconds),
      }))
      .where('id', '=', id)
      .where('status', 'in', statesWithWork)
      .where((where) =>
        where.or([
          where('lease_expires_at', 'is', null),
          where('lease_expires_at', '<', sql<Date>`now()`),
        ]),
      )
      .returningAll()
      .executeTakeFirst(),

  /** Prolongs a lease; undefined when it was lost. The row tells what the job is asked to do. */
  renew: (executor: Executor, { job, token }: Lease, seconds: number) =>
    executor
      .updateTable('fine_tuning_jobs')
      .set({ lease_expires_at: leaseEnd(seconds) })
      .where('id', '=', job)
      .where('lease_token', '=', token)
      .returning('status')
      .executeTakeFirst(),

  async release(executor: Executor, { job, token }: Lease): Promise<void> {
    await executor
      .updateTable('fine_tuning_jobs')
      .set({ lease_owner: null, lease_expires_at: null })
      .where('id', '=', job)
      .where('lease_token', '=', token)
      .execute();
  },

  /** Ends the leases of an earlier process of this server, which its lock proves dead. */
  async endLeasesOf(executor: Executor, ownerPrefix: string, exceptOwner: string): Promise<void> {
    await executor
      .updateTable('fine_tuning_jobs')
      .set({ lease_owner: null, lease_expires_at: null })
      .where(sql<boolean>`starts_with(lease_owner, ${ownerPrefix})`)
      .where('lease_owner', '!=', exceptOwner)
      .execute();
  },

  /** Jobs with work that nobody holds. */
  listUnheld: (executor: Executor): Promise<{ id: string }[]> =>
    executor
      .selectFrom('fine_tuning_jobs')
      .select('id')
      .where('status', 'in', statesWithWork)
      .where((where) =>
        where.or([
          where('lease_expires_at', 'is', null),
          where('lease_expires_at', '<', sql<Date>`now()`),
        ]),
      )
      .orderBy('sequence')
      .execute(),

  /** Unfinished jobs of one project, or (null) of all. */
  async countByStatus(
    executor: Executor,
    project: string | null,
  ): Promise<ReadonlyMap<FineTuningStatus, number>> {
    const rows = await executor
      .selectFrom('fine_tuning_jobs')
      .select(['status', sql<number>`count(*)::int`.as('count')])
      .where('status', 'in', unfinishedStates)
      .$if(project !== null, (query) => query.where('project_id', '=', project))
      .groupBy('status')
      .execute();
    return new Map(rows.map(({ status, count }) => [status, count]));
  },

  /** An unfinished job, of any project, that trains on the base. */
  async findTrainee(tx: Tx, base: string): Promise<string | null> {
    const row = await tx
      .selectFrom('fine_tuning_jobs')
      .select('id')
      .where('model', '=', base)
      .where('status', 'in', unfinishedStates)
      .executeTakeFirst();
    return row?.id ?? null;
  },

  /** An unfinished job that reads the file. */
  async findUser(tx: Tx, fileId: string): Promise<string | null> {
    const rows = await tx
      .selectFrom('fine_tuning_jobs')
      .select(['id', 'status'])
      .where((where) =>
        where.or([where('training_file', '=', fileId), where('validation_file', '=', fileId)]),
      )
      .execute();
    return rows.find(({ status }) => !isFinal(status))?.id ?? null;
  },
};

export const eventStore = {
  async insert(tx: Tx, rows: readonly Insertable<FineTuningEventsTable>[]): Promise<void> {
    if (rows.length > 0)
      await tx
        .insertInto('fine_tuning_events')
        .values([...rows])
        .execute();
  },

  find: (executor: Executor, job: string, id: string): Promise<EventRow | undefined> =>
    executor
      .selectFrom('fine_tuning_events')
      .selectAll()
      .where('job_id', '=', job)
      .where('id', '=', id)
      .executeTakeFirst(),

  /** Newest first. */
  list(executor: Executor, job: string, { after, limit }: CursorPage): Promise<EventRow[]> {
    let query = executor.selectFrom('fine_tuning_events').selectAll().where('job_id', '=', job);
    if (after !== null) query = query.where('sequence', '<', after);
    return query.orderBy('sequence', 'desc').limit(limit).execute();
  },

  /** Data of all metrics, oldest first. */
  listMetrics: (executor: Executor, job: string): Promise<Pick<EventRow, 'data'>[]> =>
    executor
      .selectFrom('fine_tuning_events')
      .select('data')
      .where('job_id', '=', job)
      .where('type', '=', 'metrics')
      .orderBy('sequence')
      .execute(),
};

export const checkpointStore = {
  async insert(tx: Tx, row: Insertable<FineTuningCheckpointsTable>): Promise<void> {
    await tx
      .insertInto('fine_tuning_checkpoints')
      .values(row)
      // A resumed run comes past the step again.
      .onConflict((conflict) => conflict.columns(['job_id', 'step']).doNothing())
      .execute();
  },

  find: (executor: Executor, job: string, id: string): Promise<CheckpointRow | undefined> =>
    executor
      .selectFrom('fine_tuning_checkpoints')
      .selectAll()
      .where('job_id', '=', job)
      .where('id', '=', id)
      .executeTakeFirst(),

  /** Newest first. */
  list(executor: Executor, job: string, { after, limit }: CursorPage): Promise<CheckpointRow[]> {
    let query = executor
      .selectFrom('fine_tuning_checkpoints')
      .selectAll()
      .where('job_id', '=', job);
    if (after !== null) query = query.where('sequence', '<', after);
    return query.orderBy('sequence', 'desc').limit(limit).execute();
  },
};
