// Durable work, on pg-boss: the only file that knows it. Enqueueing takes the caller's transaction, so
// that a job exists if and only if the state change that wants it does. A job only says "look at this";
// the truth is in the feature's own rows, so a job that runs twice does no harm.
import { setTimeout as delay } from 'node:timers/promises';
import { PgBoss, fromKysely } from 'pg-boss';
import type { Database, Tx } from '../db/database.ts';

type JobPayload = Readonly<Record<string, string>>;

interface QueueDefinition {
  readonly name: string;
  /** Handlers at a time in this process. */
  readonly concurrency: number;
  /** Throwing hands the job back for another try. The signal aborts when the server stops. */
  readonly handle: (payload: JobPayload, signal: AbortSignal) => Promise<void>;
}

export interface JobQueue {
  /** Commits with the transaction. While a job with this key waits, a second one is not added. */
  enqueue(tx: Tx, queue: string, job: { key: string; payload: JobPayload }): Promise<void>;
  /** Before `start`: which queues this process works off. */
  define(definition: QueueDefinition): void;
  /** Before the first enqueue. Creates the queue's tables and queues, starts no handler. */
  prepare(): Promise<void>;
  start(): Promise<void>;
  /** Aborts the signals of running handlers and waits for them. Idempotent. */
  close(): Promise<void>;
}

/** pg-boss allows 24 hours a job; work that may last longer hands itself on (see the training runner). */
const expireInSeconds = 24 * 3600;
/** A job of a killed server is given out again after this; features need not wait for it. */
const heartbeatSeconds = 60;
const retryLimit = 5;
const closeSeconds = 30;
const nobody = '00000000-0000-0000-0000-000000000000';

export function createJobQueue(options: {
  database: Database;
  onError: (error: Error) => void;
}): JobQueue {
  const { database, onError } = options;
  const boss = new PgBoss({
    db: { executeSql: (text, values) => database.sql.executeSql(text, values) },
    schema: database.schema === 'public' ? 'corral_jobs' : `${database.schema}_jobs`,
    backend: database.kind === 'pglite' ? 'pglite' : 'postgres',
    schedule: false,
    monitorVacuum: false,
  });
  boss.on('error', onError);
  const definitions = new Map<string, QueueDefinition>();
  const stopping = new AbortController();
  let preparing: Promise<void> | null = null;
  let closing: Promise<void> | null = null;

  return {
    define: (definition) => void definitions.set(definition.name, definition),
    prepare: () => (preparing ??= prepareQueues(boss, [...definitions.keys()])),
    async start() {
      await this.prepare();
      for (const { name, concurrency, handle } of definitions.values())
        await boss.work<JobPayload>(
          name,
          { localConcurrency: concurrency, pollingIntervalSeconds: 0.5 },
          async (jobs) => {
            for (const job of jobs) await handle(job.data, stopping.signal);
          },
        );
    },
    async enqueue(tx, queue, { key, payload }) {
      await boss.send(queue, payload, { db: fromKysely(tx), singletonKey: key });
    },
    close: () => {
      stopping.abort();
      closing ??= preparing === null ? Promise.resolve() : stop(boss, [...definitions.keys()]);
      return closing;
    },
  };
}

/** Waits for handlers by itself: where any still runs, pg-boss looks again every half second. */
async function stop(boss: PgBoss, names: readonly string[]): Promise<void> {
  const idle = Promise.all(names.map((name) => boss.offWork(name, { wait: true })));
  const abort = new AbortController();
  const late = delay(closeSeconds * 1000, false, { signal: abort.signal, ref: false });
  const graceful = await Promise.race([idle.then(() => true), late]);
  abort.abort();
  await boss.stop({ graceful, close: false });
}

async function prepareQueues(boss: PgBoss, names: readonly string[]): Promise<void> {
  await boss.start();
  for (const name of names) {
    await boss.createQueue(name, {
      // One waiting job for a key, any number running.
      policy: 'short',
      expireInSeconds,
      heartbeatSeconds,
      retryLimit,
      retryDelay: 1,
      retryBackoff: true,
    });
    // Any question makes pg-boss remember the queue. Otherwise its first `send` asks the database
    // outside the caller's transaction, which never ends where there is one session (PGlite).
    await boss.findJobs(name, { id: nobody });
  }
}
