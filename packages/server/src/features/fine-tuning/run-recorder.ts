// Writes what a trainer says to the database: at most twice a second, everything of that time in one
// transaction under the lease. A lost lease writes nothing and says so.
import { newId, type JobFigures, type RunEvent } from '@corral/contracts';
import type { Db, Tx } from '../../db/database.ts';
import {
  checkpointStore,
  eventStore,
  jobStore,
  type JobChange,
  type Lease,
} from './fine-tuning-store.ts';
import {
  interpret,
  noFigures,
  type CheckpointNews,
  type EventLine,
  type RunKnowledge,
} from './run-news.ts';

const flushMilliseconds = 500;

export interface RunRecorder {
  readonly record: (event: RunEvent) => void;
  /** Writes what is left and stops. Throws what the database throws. */
  readonly close: () => Promise<void>;
}

interface Batch {
  change: JobChange;
  lines: EventLine[];
  checkpoints: CheckpointNews[];
}
const nothing = (): Batch => ({ change: {}, lines: [], checkpoints: [] });
const isEmpty = ({ change, lines, checkpoints }: Batch): boolean =>
  Object.keys(change).length === 0 && lines.length === 0 && checkpoints.length === 0;

export function createRunRecorder(deps: {
  db: Db;
  lease: Lease;
  figures: JobFigures | null;
  onLost: () => void;
  onError: (error: unknown) => void;
}): RunRecorder {
  const { db, lease, onLost, onError } = deps;
  let known: RunKnowledge = { figures: deps.figures ?? noFigures, phase: '', metrics: {} };
  let pending = nothing();
  let writing: Promise<void> = Promise.resolve();

  const write = async (): Promise<void> => {
    const batch = pending;
    pending = nothing();
    if (isEmpty(batch)) return;
    try {
      await db.transaction().execute(async (tx) => {
        const row = await jobStore.lock(tx, null, lease.job);
        if (row?.lease_token === lease.token) await writeBatch(tx, lease.job, batch);
        else onLost();
      });
    } catch (error) {
      pending = {
        change: { ...batch.change, ...pending.change },
        lines: [...batch.lines, ...pending.lines],
        checkpoints: [...batch.checkpoints, ...pending.checkpoints],
      };
      throw error;
    }
  };
  const flush = (): Promise<void> => {
    const written = writing.then(write);
    // The next write does not fail because this one did; it tries the same again.
    writing = written.catch(() => undefined);
    return written;
  };
  const timer = setInterval(() => void flush().catch(onError), flushMilliseconds);

  return {
    record(event) {
      const news = interpret(event, known);
      known = news.known;
      pending.change = { ...pending.change, ...news.change };
      pending.lines.push(...news.lines);
      if (news.checkpoint !== null) pending.checkpoints.push(news.checkpoint);
    },
    async close() {
      clearInterval(timer);
      await flush();
    },
  };
}

async function writeBatch(tx: Tx, job: string, batch: Batch): Promise<void> {
  const created_at = new Date();
  if (Object.keys(batch.change).length > 0) await jobStore.update(tx, job, batch.change);
  await eventStore.insert(
    tx,
    batch.lines.map(({ data, ...line }) => ({
      id: newId('event'),
      job_id: job,
      created_at,
      ...line,
      data: JSON.stringify(data),
    })),
  );
  for (const { step, metrics } of batch.checkpoints)
    await checkpointStore.insert(tx, {
      id: newId('checkpoint'),
      job_id: job,
      step,
      metrics: JSON.stringify(metrics),
      created_at,
    });
}
