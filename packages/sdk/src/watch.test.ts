import {
  CorralError,
  fineTuningJobSchema,
  operationSchema,
  type FineTuningEvent,
  type FineTuningJob,
  type Operation,
} from '@corral/contracts';
import { describe, expect, it } from 'vitest';
import type { CorralClient } from './corral-client.ts';
import { isFinalJobStatus, jobError, waitForOperation, watchJob } from './watch.ts';

const operation = (over: Partial<Operation> = {}): Operation =>
  operationSchema.parse({
    id: 'op_1',
    kind: 'model_pull',
    status: 'running',
    progress: { message: '', done_bytes: 0, total_bytes: null, bytes_per_second: null },
    result: null,
    error: null,
    ...over,
  });
const job = (over: Partial<FineTuningJob> = {}): FineTuningJob =>
  fineTuningJobSchema.parse({
    id: 'ftjob-1',
    object: 'fine_tuning.job',
    created_at: 1,
    finished_at: null,
    estimated_finish: null,
    model: 'm',
    fine_tuned_model: null,
    status: 'running',
    error: null,
    training_file: 'file-1',
    validation_file: null,
    result_files: [],
    trained_tokens: null,
    seed: 1,
    organization_id: 'org',
    hyperparameters: {},
    method: { type: 'supervised' },
    integrations: [],
    metadata: null,
    suffix: null,
    corral: { figures: null, parity: null },
    ...over,
  });
const away = new CorralError('server_unreachable', { params: { base_url: 'x' } });
const fast = { intervalMs: 1, patienceMs: 50 };

/** Answers one after another; an error is thrown; the last is repeated. */
function inTurn<T>(answers: readonly (T | Error)[]): () => Promise<T> {
  let next = 0;
  return async () => {
    const answer = answers[Math.min(next, answers.length - 1)];
    next += 1;
    if (answer instanceof Error) throw answer;
    return answer as T;
  };
}
const operations = (answers: readonly (Operation | Error)[]): Pick<CorralClient, 'operations'> => ({
  operations: { get: inTurn(answers) },
});

describe('waitForOperation', () => {
  it('shows every change and gives the end', async () => {
    const seen: string[] = [];
    const client = operations([
      operation(),
      operation({ status: 'succeeded', result: { id: 'm' } }),
    ]);
    const ended = await waitForOperation(client, operation(), {
      ...fast,
      onChange: ({ status }) => seen.push(status),
    });
    expect(ended.result).toEqual({ id: 'm' });
    expect(seen).toEqual(['running', 'running', 'succeeded']);
  });

  it('throws what the operation failed with', async () => {
    const error = { code: 'download_failed', message: 'It was cut.', next: 'Again.' };
    const client = operations([operation({ status: 'failed', error })]);
    await expect(waitForOperation(client, operation(), fast)).rejects.toMatchObject(error);
  });

  it('waits for a server that comes back', async () => {
    const client = operations([away, away, operation({ status: 'succeeded' })]);
    const ended = await waitForOperation(client, operation(), { ...fast, patienceMs: 10_000 });
    expect(ended.status).toBe('succeeded');
  });

  it('gives up on a server that stays away', async () => {
    const waiting = waitForOperation(operations([away]), operation(), fast);
    await expect(waiting).rejects.toMatchObject({ code: 'server_unreachable' });
  });

  it('ends at once when it is cancelled, leaving no timer', async () => {
    const stop = new AbortController();
    const waiting = waitForOperation(operations([operation()]), operation(), {
      intervalMs: 60_000,
      signal: stop.signal,
    });
    stop.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'cancelled' });
  });
});

const event = (id: number): FineTuningEvent => ({
  id: `ftevent-${id}`,
  object: 'fine_tuning.job.event',
  created_at: id,
  level: 'info',
  message: `event ${id}`,
  type: 'message',
  data: null,
});

/** A job whose events grow by `perLook` at each look at it. */
function growingJob(states: readonly FineTuningJob[], perLook: number, pageSize = 500) {
  let looks = 0;
  const get = inTurn(states);
  const client: Pick<CorralClient, 'jobs'> = {
    jobs: {
      get: async () => {
        looks += 1;
        return get();
      },
      events: async (_id: string, page: { after?: string | undefined } = {}) => {
        // Newest first, as the contract has it: `after` goes back in time.
        const before = Number(page.after?.replace('ftevent-', '') ?? Infinity);
        const all = Array.from({ length: looks * perLook }, (_, index) => event(index + 1));
        const rest = all.filter(({ created_at }) => created_at < before).toReversed();
        return { data: rest.slice(0, pageSize), has_more: rest.length > pageSize };
      },
    } as unknown as CorralClient['jobs'],
  };
  return client;
}

describe('watchJob', () => {
  it('gives each event once, in order, over pages, to the final status', async () => {
    const states = [job({ status: 'queued' }), job(), job({ status: 'succeeded' })];
    const seen: string[] = [];
    const statuses: string[] = [];
    for await (const update of watchJob(growingJob(states, 3, 2), 'ftjob-1', fast)) {
      statuses.push(update.job.status);
      seen.push(...update.events.map(({ id }) => id));
    }
    expect(statuses).toEqual(['queued', 'running', 'succeeded']);
    expect(seen).toEqual(Array.from({ length: 9 }, (_, index) => `ftevent-${index + 1}`));
  });

  it('ends when the job is paused, unless told to wait on', async () => {
    const states = [job(), job({ status: 'paused' }), job({ status: 'cancelled' })];
    const last = async (untilPaused: boolean) => {
      let status = '';
      const watched = watchJob(growingJob(states, 1), 'ftjob-1', { ...fast, untilPaused });
      for await (const update of watched) status = update.job.status;
      return status;
    };
    expect(await last(true)).toBe('paused');
    expect(await last(false)).toBe('cancelled');
  });
});

describe('jobError', () => {
  it('names the job and the reason', () => {
    const error = { code: 'training_failed', message: 'no memory', param: null };
    expect(jobError(job({ status: 'failed', error }))).toMatchObject({
      code: 'training_failed',
      message: 'Training failed: no memory',
      next: 'See "corral jobs logs ftjob-1".',
    });
  });
  it('keeps a more exact code with its own words', () => {
    const error = { code: 'disk_too_small', message: 'The disk is full.', param: null };
    expect(jobError(job({ status: 'failed', error }))).toMatchObject({
      code: 'disk_too_small',
      message: 'The disk is full.',
    });
  });
  it('is "cancelled" for a cancelled job', () => {
    expect(jobError(job({ status: 'cancelled' })).code).toBe('cancelled');
  });
});

it('knows final statuses', () => {
  expect(isFinalJobStatus('succeeded')).toBe(true);
  expect(isFinalJobStatus('paused')).toBe(false);
});
