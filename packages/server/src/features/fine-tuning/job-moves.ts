// Moving a job to another state: the row, its event for the user and its audit event in one transaction.
// The only writer of `status`.
import { newId, type FineTuningStatus } from '@corral/contracts';
import type { AuditInput, AuditLog } from '../../audit/audit-log.ts';
import type { Tx } from '../../db/database.ts';
import { eventStore, jobStore, type JobChange, type JobRow } from './fine-tuning-store.ts';
import { canMove, isFinal } from './job-state.ts';

export interface Move {
  readonly to: FineTuningStatus;
  /** For the user's list of events. */
  readonly message: string;
  readonly level?: 'info' | 'warn' | 'error';
  readonly data?: object;
  readonly change?: JobChange;
  readonly from: Pick<AuditInput, 'actor' | 'project' | 'request_id'>;
  /** Digests and figures for the audit event. */
  readonly evidence?: Record<string, unknown>;
}

/** Past tense of arriving in a state, the verb of the audit event. */
const verbs: Readonly<Record<FineTuningStatus, string>> = {
  validating_files: 'resumed',
  queued: 'queued',
  running: 'started',
  pausing: 'pause_requested',
  paused: 'paused',
  succeeded: 'succeeded',
  failed: 'failed',
  cancelled: 'cancelled',
};

/** Changes nothing and answers null when the job may not move there from where it is. Needs a locked row. */
export async function moveJob(
  tx: Tx,
  audit: AuditLog,
  row: JobRow,
  move: Move,
): Promise<JobRow | null> {
  const { to, message, level = 'info', data = {}, change = {}, from, evidence = {} } = move;
  if (!canMove(row.status, to)) return null;
  const now = new Date();
  const moved = await jobStore.update(tx, row.id, {
    ...change,
    status: to,
    ...(isFinal(to) ? { finished_at: now, estimated_finish: null } : {}),
  });
  await addEvent(tx, row.id, { level, message, data });
  await audit.append(tx, {
    ...from,
    action: `fine_tuning_job.${verbs[to]}`,
    resource: { kind: 'fine_tuning_job', id: row.id },
    outcome: to === 'failed' ? 'failed' : 'ok',
    before: { status: row.status },
    after: { status: to, ...evidence },
  });
  return moved;
}

/** A line for the user's list of events. */
export const addEvent = (
  tx: Tx,
  job: string,
  event: { level: 'info' | 'warn' | 'error'; message: string; data: object },
): Promise<void> =>
  eventStore.insert(tx, [
    {
      id: newId('event'),
      job_id: job,
      created_at: new Date(),
      level: event.level,
      type: 'message',
      message: event.message,
      data: JSON.stringify(event.data),
    },
  ]);
