// Fine-tuning jobs as a caller sees them: create, look, cancel, pause, resume. Every change commits together
// with its event, its audit event and the queue entry that carries it out. Training itself is the runner's.
import { CorralError, type CreateFineTuningJob } from '@corral/contracts';
import { auditFrom } from '../../audit/audit-log.ts';
import type { Tx } from '../../db/database.ts';
import type { RequestContext } from '../../http/request-context.ts';
import {
  checkpointStore,
  eventStore,
  jobStore,
  type CheckpointRow,
  type EventRow,
  type JobRow,
} from './fine-tuning-store.ts';
import { createJob, type CreationDependencies } from './job-creation.ts';
import { moveJob } from './job-moves.ts';
import { groupOf, isCancellable, isResumable, pauseTarget } from './job-state.ts';
import { trainingQueue, type TrainingRunner } from './training-runner.ts';

interface ListOptions {
  readonly after: string | undefined;
  readonly limit: number;
}

interface JobReader {
  get(project: string, id: string): Promise<JobRow>;
  list(
    project: string,
    options: ListOptions & { metadata: Readonly<Record<string, string>> | null },
  ): Promise<readonly JobRow[]>;
  events(project: string, id: string, options: ListOptions): Promise<readonly EventRow[]>;
  checkpoints(
    project: string,
    id: string,
    options: ListOptions,
  ): Promise<readonly (CheckpointRow & { adapter_id: string })[]>;
  /** Of one project, or (null) of all. */
  counts(project: string | null): Promise<{ queued: number; running: number }>;
}

/** Each throws `not_found`, or `conflict` when the job's state does not allow it. */
interface JobControl {
  cancel(context: RequestContext, id: string): Promise<JobRow>;
  pause(context: RequestContext, id: string): Promise<JobRow>;
  resume(context: RequestContext, id: string): Promise<JobRow>;
}

export interface FineTuningService extends JobReader, JobControl {
  create(
    context: RequestContext,
    request: CreateFineTuningJob,
    record: (tx: Tx, id: string) => Promise<void>,
  ): Promise<JobRow>;
}

interface Dependencies extends CreationDependencies {
  readonly runner: Pick<TrainingRunner, 'look'>;
}

export const createFineTuningService = (deps: Dependencies): FineTuningService => ({
  create: (context, request, record) => createJob(deps, context, request, record),
  ...readerOf(deps),
  ...controlOf(deps),
});

const notFound = (kind: string, id: string): CorralError =>
  new CorralError('not_found', { params: { kind, id } });

function readerOf({ db }: Pick<Dependencies, 'db'>): JobReader {
  const get = async (project: string, id: string): Promise<JobRow> => {
    const row = await jobStore.find(db, project, id);
    if (row === undefined) throw notFound('fine-tuning job', id);
    return row;
  };
  return {
    get,
    async list(project, { after, limit, metadata }) {
      const cursor = after === undefined ? null : (await get(project, after)).sequence;
      return jobStore.list(db, { project, after: cursor, limit, metadata });
    },
    async events(project, id, { after, limit }) {
      await get(project, id);
      const cursor = after === undefined ? null : await eventStore.find(db, id, after);
      if (cursor === undefined) throw notFound('event', after ?? '');
      return eventStore.list(db, id, { after: cursor?.sequence ?? null, limit });
    },
    async checkpoints(project, id, { after, limit }) {
      const { adapter_id } = await get(project, id);
      const cursor = after === undefined ? null : await checkpointStore.find(db, id, after);
      if (cursor === undefined) throw notFound('checkpoint', after ?? '');
      const rows = await checkpointStore.list(db, id, { after: cursor?.sequence ?? null, limit });
      return rows.map((row) => ({ ...row, adapter_id }));
    },
    async counts(project) {
      const total = { queued: 0, running: 0 };
      for (const [status, count] of await jobStore.countByStatus(db, project)) {
        const group = groupOf(status);
        if (group !== null) total[group] += count;
      }
      return total;
    },
  };
}

function controlOf({ db, audit, queue, runner }: Dependencies): JobControl {
  /** Locks the job and moves it; null: not from where it is. Afterwards the runner looks at it. */
  const change = async (
    { projectId }: RequestContext,
    id: string,
    step: (tx: Tx, row: JobRow) => Promise<JobRow | null>,
  ): Promise<JobRow> => {
    const moved = await db.transaction().execute(async (tx) => {
      const row = await jobStore.lock(tx, projectId, id);
      if (row === undefined) throw notFound('fine-tuning job', id);
      const result = await step(tx, row);
      if (result !== null) return result;
      throw new CorralError('conflict', {
        params: { reason: `The job "${id}" is ${row.status}; that cannot be done now.` },
      });
    });
    await runner.look(id);
    return moved;
  };
  return {
    cancel: (context, id) =>
      change(context, id, async (tx, row) => {
        if (!isCancellable(row.status)) return null;
        const from = auditFrom(context);
        return moveJob(tx, audit, row, { to: 'cancelled', message: 'The job was cancelled', from });
      }),
    pause: (context, id) =>
      change(context, id, async (tx, row) => {
        const to = pauseTarget(row.status);
        if (to === null) return null;
        const message =
          to === 'paused' ? 'The job is paused' : 'Pausing: the trainer writes a checkpoint';
        return moveJob(tx, audit, row, { to, message, from: auditFrom(context) });
      }),
    resume: (context, id) =>
      change(context, id, async (tx, row) => {
        if (!isResumable(row.status)) return null;
        await queue.enqueue(tx, trainingQueue, { key: id, payload: { job: id } });
        // Data already seen to be good is not read again.
        const to = row.figures === null ? 'validating_files' : 'queued';
        return moveJob(tx, audit, row, { to, message: 'Resuming', from: auditFrom(context) });
      }),
  };
}
