// Waiting for what outlives a request: operations and fine-tuning jobs, by polling. The caller sees
// every change once; a cut connection is tried again, because a server may restart under a watcher.
import {
  CorralError,
  fromErrorPayload,
  errorCodes,
  type FineTuningEvent,
  type FineTuningJob,
  type FineTuningStatus,
  type Operation,
} from '@corral/contracts';
import type { CorralClient } from './corral-client.ts';
import { CorralApiError } from './transport.ts';

export interface WaitOptions<T> {
  readonly onChange?: (value: T) => void;
  readonly signal?: AbortSignal | undefined;
  readonly intervalMs?: number;
  /** How long a server may stay away before the watcher gives up. */
  readonly patienceMs?: number;
}

export interface JobUpdate {
  readonly job: FineTuningJob;
  /** New since the last update, oldest first. */
  readonly events: readonly FineTuningEvent[];
}

const finalStatuses: Record<FineTuningStatus, boolean> = {
  validating_files: false,
  queued: false,
  running: false,
  pausing: false,
  paused: false,
  succeeded: true,
  failed: true,
  cancelled: true,
};
/** True when a job will not change any more. */
export const isFinalJobStatus = (status: FineTuningStatus): boolean => finalStatuses[status];

/** Resolves after `ms`. @throws CorralError `cancelled` as soon as the signal fires. */
function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new CorralError('cancelled'));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    if (signal?.aborted) stop();
    else signal?.addEventListener('abort', stop, { once: true });
  });
}

/** What ends soon is seen soon; what lasts is not asked about ten times a second. */
const growing = (looks: number, intervalMs: number): number =>
  Math.min(intervalMs, 25 * 2 ** Math.min(looks, 16));

const isUnreachable = (error: unknown): boolean =>
  CorralError.isInstance(error) && error.code === 'server_unreachable';

/** Calls `ask` until it answers; gives up when the server stayed away for `patienceMs`. */
async function patiently<T>(
  ask: () => Promise<T>,
  { patienceMs, signal }: { patienceMs: number; signal: AbortSignal | undefined },
): Promise<T> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!isUnreachable(error) || Date.now() >= deadline) throw error;
    }
    await pause(Math.min(500, patienceMs), signal);
  }
}

function operationError(operation: Operation): CorralError {
  const { code, message, next } = operation.error ?? {
    code: 'internal_error',
    message: 'The operation failed without saying why.',
    next: null,
  };
  return new CorralApiError({
    code: errorCodes.find((known) => known === code) ?? 'internal_error',
    message,
    status: 500,
    next,
    param: null,
    requestId: null,
    details: undefined,
  });
}

/** Waits for an operation to end. @returns it, succeeded. @throws the CorralError it failed with. */
export async function waitForOperation(
  client: Pick<CorralClient, 'operations'>,
  operation: Operation,
  options: WaitOptions<Operation> = {},
): Promise<Operation> {
  const { onChange, signal, intervalMs = 250, patienceMs = 15_000 } = options;
  let current = operation;
  for (let looks = 0; ; looks += 1) {
    onChange?.(current);
    if (current.status === 'failed') throw operationError(current);
    if (current.status === 'succeeded') return current;
    await pause(growing(looks, intervalMs), signal);
    const { id } = current;
    current = await patiently(() => client.operations.get(id, { signal }), { patienceMs, signal });
  }
}

/**
 * The events of a job that came after the one with the id `last` (all, when it is undefined), oldest
 * first. The contract lists them newest first, so pages are read back until the known one appears.
 */
export async function jobEventsSince(
  client: Pick<CorralClient, 'jobs'>,
  id: string,
  last?: string,
  signal?: AbortSignal,
): Promise<readonly FineTuningEvent[]> {
  const events: FineTuningEvent[] = [];
  let after: string | undefined;
  for (;;) {
    const page = await client.jobs.events(id, { after, limit: 100, signal });
    const known = page.data.findIndex((event) => event.id === last);
    events.push(...(known < 0 ? page.data : page.data.slice(0, known)));
    after = page.data.at(-1)?.id;
    if (known >= 0 || !page.has_more || after === undefined) return events.toReversed();
  }
}

/**
 * Yields a job and its new events until it is final, or paused when `untilPaused`. The first update
 * carries all events so far; a last one with the final status always comes.
 */
export async function* watchJob(
  client: Pick<CorralClient, 'jobs'>,
  id: string,
  options: Omit<WaitOptions<JobUpdate>, 'onChange'> & { readonly untilPaused?: boolean } = {},
): AsyncGenerator<JobUpdate, void, void> {
  const { signal, intervalMs = 500, patienceMs = 30_000, untilPaused = true } = options;
  let last: string | undefined;
  for (let looks = 0; ; looks += 1) {
    const update = await patiently(
      async () => {
        // The job first: events written before it became final are then surely in the next answer.
        const job = await client.jobs.get(id, { signal });
        return { job, events: await jobEventsSince(client, id, last, signal) };
      },
      { patienceMs, signal },
    );
    last = update.events.at(-1)?.id ?? last;
    yield update;
    const { status } = update.job;
    if (isFinalJobStatus(status) || (untilPaused && status === 'paused')) return;
    await pause(growing(looks, intervalMs), signal);
  }
}

/** The error of a job that did not succeed, in the words of the table. */
export function jobError(job: FineTuningJob): CorralError {
  if (job.status === 'cancelled') return new CorralError('cancelled');
  const reason = job.error?.message ?? `the job is ${job.status}`;
  const code = errorCodes.find((known) => known === job.error?.code) ?? 'training_failed';
  if (code === 'training_failed') {
    return fromErrorPayload({ code, params: { reason, job: job.id } });
  }
  return new CorralApiError({
    code,
    message: reason,
    status: 500,
    next: null,
    param: job.error?.param ?? null,
    requestId: null,
    details: undefined,
  });
}
