// Durable work, on pg-boss: the only file that knows it. Enqueueing takes the caller's transaction, so
// that a job exists if and only if the state change that wants it does.
import type { Tx } from '../db/database.ts';

export interface QueueDefinition {
  readonly name: string;
  /** Handlers at a time in this process. */
  readonly concurrency: number;
  readonly handle: (
    payload: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ) => Promise<void>;
}

export interface JobQueue {
  /** Commits with the transaction. */
  enqueue(tx: Tx, queue: string, payload: Readonly<Record<string, string>>): Promise<void>;
  /** Starts to work off one queue. */
  work(definition: QueueDefinition): Promise<void>;
  start(): Promise<void>;
  /** Waits for running handlers for `graceSeconds`, aborting their signals first. Idempotent. */
  close(): Promise<void>;
}
