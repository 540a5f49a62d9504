// Which jobs this server works on: takes them by lease, and takes up what a dead server left behind. Whoever
// cancels or pauses only changes the row and calls `look`.
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Db } from '../../db/database.ts';
import type { JobQueue } from '../../jobs/queue.ts';
import { jobStore } from './fine-tuning-store.ts';
import { holdRun, type HoldDependencies, type RunHold } from './run-hold.ts';
import { clearFinishedRun } from './run-job.ts';

export const trainingQueue = 'fine-tuning';
/** pg-boss gives a job 24 hours; a longer run hands itself on to a new one. */
const handOnMilliseconds = 12 * 3600_000;
const shutdownGraceSeconds = 20;

interface RunnerDependencies extends HoldDependencies {
  readonly queue: Pick<JobQueue, 'enqueue'>;
  /** Names this server's state, whichever process runs it: CORRAL_HOME. */
  readonly home: string;
}

export interface TrainingRunner {
  /** Works on a job until it needs nothing more from here. */
  drive(job: string, signal: AbortSignal): Promise<void>;
  /** The row changed: stop what is to stop, remove what a cancelled run leaves. */
  look(job: string): Promise<void>;
  /** Takes up jobs that nobody holds, now and from time to time. */
  start(): Promise<void>;
  close(): Promise<void>;
}

/** In its own transaction; with a state change use `queue.enqueue` in that of the change. */
const enqueueRun = (queue: RunnerDependencies['queue'], db: Db, job: string): Promise<void> =>
  db
    .transaction()
    .execute((tx) => queue.enqueue(tx, trainingQueue, { key: job, payload: { job } }));

export function createTrainingRunner(deps: RunnerDependencies): TrainingRunner {
  const { db, queue, log, leaseSeconds } = deps;
  const ownerPrefix = `${hostname()}:${deps.home}:`;
  const owner = `${ownerPrefix}${process.pid}:${crypto.randomUUID()}`;
  const active = new Map<string, RunHold>();
  let sweeper: NodeJS.Timeout | null = null;

  const hold = async (job: string): Promise<RunHold | null> => {
    const row = await jobStore.claim(db, { id: job, owner, seconds: leaseSeconds });
    if (row === undefined) return null;
    const held = holdRun(deps, { job, token: row.lease_token });
    active.set(job, held);
    const forget = (): void => void active.delete(job);
    held.done.then(forget, forget);
    return held;
  };
  const takeUp = async (): Promise<void> => {
    for (const { id } of await jobStore.listUnheld(db))
      if (!active.has(id)) await enqueueRun(queue, db, id);
  };

  return {
    async drive(job, signal) {
      // One that is just ending (paused, then resumed at once) is waited for, then begun anew.
      for (let held = active.get(job); ; held = undefined) {
        const isKnown = held !== undefined;
        held ??= (await hold(job)) ?? undefined;
        if (held === undefined) return;
        const end = await endOf(held, signal);
        if (end === 'too long') return enqueueRun(queue, db, job);
        if (!isKnown) return;
      }
    },
    async look(job) {
      const held = active.get(job);
      if (held !== undefined) return held.look();
      const row = await jobStore.find(db, null, job);
      if (row !== undefined) await clearFinishedRun(deps.folder, row);
    },
    async start() {
      // The lock on CORRAL_HOME says that whoever held these is dead.
      await jobStore.endLeasesOf(db, ownerPrefix, owner);
      await takeUp();
      const sweep = (): void =>
        void takeUp().catch((error: unknown) => {
          log.error({ err: error }, 'Unheld runs were not found.');
        });
      sweeper = setInterval(sweep, leaseSeconds * 1000);
    },
    async close() {
      if (sweeper !== null) clearInterval(sweeper);
      const held = [...active.values()];
      for (const one of held) one.leave(shutdownGraceSeconds);
      await Promise.all(held.map(({ done }) => done));
    },
  };
}

/** Waits for a run; when the signal aborts, the run is asked to leave. */
async function endOf(held: RunHold, signal: AbortSignal): Promise<'done' | 'too long'> {
  const stop = (): void => held.leave(shutdownGraceSeconds);
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop, { once: true });
  const ended = new AbortController();
  const options = { signal: ended.signal, ref: false };
  const tooLong = sleep(handOnMilliseconds, 'too long' as const, options).catch(
    () => 'done' as const,
  );
  try {
    return await Promise.race([held.done.then(() => 'done' as const), tooLong]);
  } finally {
    ended.abort();
    signal.removeEventListener('abort', stop);
  }
}
