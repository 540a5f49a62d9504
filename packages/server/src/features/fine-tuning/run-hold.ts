// One job held by lease: worked on, its lease kept alive, stopped when its row or the server says so.
import type { FastifyBaseLogger } from 'fastify';
import { jobStore, type Lease } from './fine-tuning-store.ts';
import { isPausing, workFor } from './job-state.ts';
import { runJob, type HeldRun, type RunDependencies } from './run-job.ts';

/** A step and a checkpoint of a large model. */
const pauseGraceSeconds = 600;
const cancelGraceSeconds = 5;

export interface HoldDependencies extends RunDependencies {
  readonly log: Pick<FastifyBaseLogger, 'error' | 'info' | 'warn'>;
  readonly leaseSeconds: number;
}

export interface RunHold {
  /** Settles when there is nothing left to do here; the lease is given back then. */
  readonly done: Promise<void>;
  /** Renews the lease and does what the row asks for. */
  look(): Promise<void>;
  /** Leaves the job to whoever comes next; its trainer gets this long for a checkpoint. */
  leave(graceSeconds: number): void;
}

export function holdRun(deps: HoldDependencies, lease: Lease): RunHold {
  const { db, log, leaseSeconds } = deps;
  const leaving = new AbortController();
  const abandoning = new AbortController();
  const run: HeldRun = {
    lease,
    leave: leaving.signal,
    abandon: abandoning.signal,
    process: null,
  };
  let renewedAt = Date.now();

  const leave = (graceSeconds: number): void => {
    leaving.abort();
    run.process?.stop(graceSeconds);
  };
  const look = async (): Promise<void> => {
    const renewed = await jobStore.renew(db, lease, leaseSeconds);
    renewedAt = Date.now();
    if (renewed === undefined) return leave(0);
    if (isPausing(renewed.status)) run.process?.stop(pauseGraceSeconds);
    else if (workFor(renewed.status) === 'none') {
      abandoning.abort();
      run.process?.stop(cancelGraceSeconds);
    }
  };
  const heartbeat = (): void => {
    look().catch((error: unknown) => {
      log.warn({ err: error, job: lease.job }, 'A lease could not be renewed.');
      // Nobody knows by now whether another has taken it.
      if (Date.now() - renewedAt > leaseSeconds * 1000) leave(0);
    });
  };
  const work = async (): Promise<void> => {
    const timer = setInterval(heartbeat, (leaseSeconds * 1000) / 3);
    try {
      await runJob(deps, run);
    } finally {
      clearInterval(timer);
      await jobStore.release(db, lease);
    }
  };
  return { done: work(), look, leave };
}
