// Which jobs this server works on: takes them by lease, keeps the lease alive, takes up what a dead server
// left behind. Whoever cancels or pauses only changes the row and calls `look`.
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Db } from '../../db/database.ts';
import type { JobQueue } from '../../jobs/queue.ts';
import { jobStore, type Lease } from './fine-tuning-store.ts';
import { isPausing, workFor } from './job-state.ts';
import { clearFinishedRun, runJob, type HeldRun, type RunDependencies } from './run-job.ts';

export const trainingQueue = 'fine-tuning';
/** pg-boss gives a job 24 hours; a longer run hands itself on to a new one. */
const handOnMilliseconds = 12 * 3600_000;
/** A step and a checkpoint of a large model. */
const pauseGraceSeconds = 600;
const cancelGraceSeconds = 5;
const shutdownGraceSeconds = 20;

export interface RunnerDependencies extends RunDependencies {
  readonly queue: Pick<JobQueue, 'enqueue'>;
  readonly leaseSeconds: number;
  /** Names this server's state, whichever process runs it: CORRAL_HOME. */
  readonly home: string;
}

export interface TrainingRunner {
  /** Works on a job until it needs nothing more from here. */
  drive(job: string, signal: AbortSignal): Promise<void>;
  /** The row changed: stop what is to stop. */
  look(job: string): Promise<void>;
  /** Takes up jobs that nobody holds, now and from time to time. */
  start(): Promise<void>;
  close(): Promise<void>;
}

interface Active {
  readonly run: HeldRun;
  readonly leave: AbortController;
  readonly abandon: AbortController;
  readonly done: Promise<void>;
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
  const active = new Map<string, Active>();
  let sweeper: NodeJS.Timeout | null = null;

  const hold = (lease: Lease): Active => {
    const leave = new AbortController();
    const abandon = new AbortController();
    const run: HeldRun = {
      lease,
      leave: leave.signal,
      abandon: abandon.signal,
      process: null,
    };
    const entry: Active = { run, leave, abandon, done: work(run, leave) };
    active.set(lease.job, entry);
    return entry;
  };

  const work = async (run: HeldRun, leave: AbortController): Promise<void> => {
    let renewedAt = Date.now();
    const heartbeat = setInterval(
      () => {
        look(run.lease.job).then(
          (held) => {
            renewedAt = Date.now();
            if (!held) leaveNow(run, leave, 0);
          },
          (error: unknown) => {
            log.warn({ err: error, job: run.lease.job }, 'A lease could not be renewed.');
            if (Date.now() - renewedAt > leaseSeconds * 1000) leaveNow(run, leave, 0);
          },
        );
      },
      (leaseSeconds * 1000) / 3,
    );
    try {
      await runJob(deps, run);
    } finally {
      clearInterval(heartbeat);
      active.delete(run.lease.job);
      await jobStore.release(db, run.lease);
    }
  };

  const leaveNow = (run: HeldRun, leave: AbortController, graceSeconds: number): void => {
    leave.abort();
    run.process?.stop(graceSeconds);
  };

  /** Renews the lease and does what the row asks for; false when the lease is lost. */
  const look = async (job: string): Promise<boolean> => {
    const entry = active.get(job);
    if (entry === undefined) return forget(job);
    const { run, abandon } = entry;
    const renewed = await jobStore.renew(db, run.lease, leaseSeconds);
    if (renewed === undefined) return false;
    const { status } = renewed;
    if (isPausing(status)) run.process?.stop(pauseGraceSeconds);
    else if (workFor(status) === 'none') {
      abandon.abort();
      run.process?.stop(cancelGraceSeconds);
    }
    return true;
  };

  /** A job cancelled while nobody worked on it leaves its checkpoints behind. */
  const forget = async (job: string): Promise<true> => {
    const row = await jobStore.find(db, null, job);
    if (row !== undefined) await clearFinishedRun(deps.folder, row);
    return true;
  };

  const takeUp = async (): Promise<void> => {
    for (const { id } of await jobStore.listUnheld(db))
      if (!active.has(id)) await enqueueRun(queue, db, id);
  };

  return {
    async drive(job, signal) {
      // One that is just ending (paused, then resumed at once) is waited for, then begun anew.
      await active.get(job)?.done;
      const row = await jobStore.claim(db, { id: job, owner, seconds: leaseSeconds });
      if (row === undefined) return;
      const { run, leave, done } = hold({ job, token: row.lease_token });
      const stop = (): void => leaveNow(run, leave, shutdownGraceSeconds);
      if (signal.aborted) stop();
      signal.addEventListener('abort', stop, { once: true });
      const tooLong = new AbortController();
      const handOn = sleep(handOnMilliseconds, 'hand on', {
        signal: tooLong.signal,
        ref: false,
      }).catch(() => 'done');
      try {
        if ((await Promise.race([done, handOn])) === 'hand on') await enqueueRun(queue, db, job);
      } finally {
        tooLong.abort();
        signal.removeEventListener('abort', stop);
      }
    },
    async look(job) {
      await look(job);
    },
    async start() {
      // The lock on CORRAL_HOME says that whoever held these is dead.
      await jobStore.endLeasesOf(db, ownerPrefix, owner);
      await takeUp();
      sweeper = setInterval(() => {
        takeUp().catch((error: unknown) =>
          log.error({ err: error }, 'Unheld runs were not found.'),
        );
      }, leaseSeconds * 1000);
    },
    async close() {
      if (sweeper !== null) clearInterval(sweeper);
      const running = [...active.values()];
      for (const { run, leave } of running) leaveNow(run, leave, shutdownGraceSeconds);
      await Promise.all(running.map(({ done }) => done));
    },
  };
}
