// Work that outlives its request: started by a POST, watched by GET, ended with a result or an error.
// Progress is in memory; start and end are rows. Knows nothing of what the work is.
import { CorralError, newId } from '@corral/contracts';
import type { Operation } from '@corral/contracts';
import type { Db } from '../../db/database.ts';
import type { RequestContext } from '../../http/request-context.ts';
import { operationStore } from './operation-store.ts';

export interface OperationReport {
  /** What happens now, for a person; clears the byte counts unless they come along. */
  (message: string, bytes?: { done: number; total: number | null; rate: number | null }): void;
}

interface OperationWork {
  readonly kind: Operation['kind'];
  /** Work with the same key that still runs is joined, not repeated. */
  readonly key: string;
  run(report: OperationReport, signal: AbortSignal): Promise<Record<string, unknown>>;
}

export interface OperationService {
  /** Starts (or joins) the work and returns at once. */
  begin(context: RequestContext, work: OperationWork): Promise<Operation>;
  /** Throws not_found, for other projects' operations too. */
  get(context: RequestContext, id: string): Promise<Operation>;
  /** Marks as failed what an earlier process of this server, or a server that is gone, left running. */
  recover(): Promise<void>;
  /** Cancels what runs and waits for it. Idempotent. */
  close(): Promise<void>;
}

interface Running {
  readonly id: string;
  readonly project: string;
  operation: Operation;
  readonly done: PromiseWithResolvers<void>;
}

const noProgress = { done_bytes: 0, total_bytes: null, bytes_per_second: null };

/** Unforeseen errors are logged whole by the caller's `onDefect` and shown as internal_error. */
const asCorralError = (error: unknown, id: string): CorralError =>
  CorralError.isInstance(error)
    ? error
    : new CorralError('internal_error', { params: { request_id: id }, cause: error });

interface Dependencies {
  readonly db: Db;
  /** Names this server among those that share the database; one process at a time has it. */
  readonly server: string;
  /** Work of a server that was silent for so long is taken for abandoned. */
  readonly leaseSeconds?: number;
  readonly onDefect: (error: unknown, operation: string) => void;
  readonly now?: () => Date;
}

/** Waits for the end of the work and writes it down. Never rejects. */
async function finish(
  { db, onDefect, now = () => new Date() }: Dependencies,
  entry: Running,
  run: Promise<Record<string, unknown>>,
): Promise<void> {
  let end: Pick<Operation, 'status' | 'result' | 'error'>;
  try {
    end = { status: 'succeeded', result: await run, error: null };
  } catch (thrown) {
    const error = asCorralError(thrown, entry.id);
    if (error.code === 'internal_error') onDefect(thrown, entry.id);
    const { code, message, next } = error;
    end = { status: 'failed', result: null, error: { code, message, next } };
  }
  const message = end.error?.message ?? 'Done.';
  const progress = { ...entry.operation.progress, message };
  entry.operation = { ...entry.operation, ...end, progress };
  const row = { ...end, message, finished_at: now() };
  // Kept in memory when the database is away: whoever polls still learns the end.
  await operationStore.finish(db, entry.id, row).catch((error) => onDefect(error, entry.id));
}

const reporterOf =
  (entry: Running): OperationReport =>
  (message, bytes) => {
    const counts = bytes
      ? { done_bytes: bytes.done, total_bytes: bytes.total, bytes_per_second: bytes.rate }
      : noProgress;
    entry.operation = { ...entry.operation, progress: { message, ...counts } };
  };

function newEntry(project: string, kind: Operation['kind']): Running {
  const id = newId('operation');
  const progress = { message: 'Starting.', ...noProgress };
  const operation: Operation = { id, kind, status: 'running', progress, result: null, error: null };
  return { id, project, operation, done: Promise.withResolvers() };
}

export function createOperationService(deps: Dependencies): OperationService {
  const { db, server, leaseSeconds = 60, onDefect, now = () => new Date() } = deps;
  const owner = `${server}${process.pid}:${crypto.randomUUID()}`;
  const running = new Map<string, Running>();
  const stopping = new AbortController();
  const heartbeat = setInterval(
    () => {
      if (running.size === 0) return;
      operationStore.renew(db, owner, leaseSeconds).catch((error) => onDefect(error, 'all'));
    },
    (leaseSeconds * 1000) / 3,
  );
  heartbeat.unref();
  const recover = () => operationStore.failAbandoned(db, { at: now(), server, owner });

  const begin = async (context: RequestContext, work: OperationWork): Promise<Operation> => {
    const { kind } = work;
    const project = context.projectId;
    const key = `${project} ${kind} ${work.key}`;
    const joined = running.get(key);
    if (joined) return joined.operation;
    // Taken before the first await, so that two requests at once cannot both start it.
    const entry = newEntry(project, kind);
    running.set(key, entry);
    const leave = (): void => {
      running.delete(key);
      entry.done.resolve();
    };
    try {
      const row = { id: entry.id, project, kind, message: 'Starting.', created_at: now() };
      await operationStore.insert(db, { ...row, owner }, leaseSeconds);
    } catch (error) {
      leave();
      throw error;
    }
    const started = entry.operation;
    void finish(deps, entry, work.run(reporterOf(entry), stopping.signal)).then(leave);
    return started;
  };

  return {
    begin,
    async get(context, id) {
      for (const entry of running.values()) {
        if (entry.id === id && entry.project === context.projectId) return entry.operation;
      }
      let row = await operationStore.find(db, context.projectId, id);
      if (row?.status === 'running') {
        // Another server does it, if that one lives.
        await recover();
        row = await operationStore.find(db, context.projectId, id);
      }
      if (!row) throw new CorralError('not_found', { params: { kind: 'operation', id } });
      const { kind, status, message, result, error } = row;
      return { id, kind, status, progress: { message, ...noProgress }, result, error };
    },
    recover,
    async close() {
      clearInterval(heartbeat);
      stopping.abort();
      await Promise.all([...running.values()].map(({ done }) => done.promise));
    },
  };
}
