// A fine-tuning job as one live line, and the curve of its losses. Knows figures and events of the
// contract; knows neither where they come from nor which command shows them.
import type { FineTuningEvent, FineTuningJob, FineTuningStatus } from '@corral/contracts';
import type { CorralClient, JobUpdate } from '@corral/sdk';
import { watchJob } from '@corral/sdk';
import { formatCount, formatLoss, formatSeconds } from './format.ts';
import type { Io } from './io.ts';
import { createProgress } from './progress.ts';

export interface LossPoint {
  readonly step: number;
  readonly loss: number;
}

const waiting: Record<FineTuningStatus, string> = {
  validating_files: 'checking the files',
  queued: 'waiting for its turn',
  running: 'loading the model',
  pausing: 'writing a checkpoint, then pausing',
  paused: 'paused',
  succeeded: 'done',
  failed: 'failed',
  cancelled: 'cancelled',
};

/** What the trainer does before its first step, when it says so: `measuring before, 3 of 15`. */
function describePhase(
  figures: FineTuningJob['corral']['figures'],
): { readonly text: string; readonly fraction: number } | null {
  const phase = figures?.['phase'] as { name?: unknown; done?: unknown; total?: unknown } | null;
  const { name, done, total } = phase ?? {};
  if (typeof name !== 'string' || typeof done !== 'number' || typeof total !== 'number')
    return null;
  return { text: name, fraction: total > 0 ? Math.min(1, done / total) : 0 };
}

/** `step 34 of 150 · loss 1.234 · 212 tokens/s · 1 min 3 s left`, and the fraction for the bar. */
function describeJob(job: FineTuningJob): {
  readonly text: string;
  readonly fraction: number | null;
} {
  const { figures } = job.corral;
  if (figures === null || figures.step === 0 || figures.total_steps === 0) {
    return describePhase(figures) ?? { text: waiting[job.status], fraction: null };
  }
  const parts = [
    `step ${figures.step} of ${figures.total_steps}`,
    `loss ${formatLoss(figures.loss)}`,
    `${formatCount(figures.tokens_per_second)} tokens/s`,
  ];
  if (job.status === 'running') {
    const ended = figures.step >= figures.total_steps;
    if (ended) parts.push('writing and checking the adapter');
    else if (figures.seconds_left !== null)
      parts.push(`${formatSeconds(figures.seconds_left)} left`);
  } else parts.push(waiting[job.status]);
  return { text: parts.join(' · '), fraction: figures.step / figures.total_steps };
}

const numberAt = (data: Readonly<Record<string, unknown>>, names: readonly string[]) => {
  for (const name of names) {
    const value = data[name];
    if (typeof value === 'number' && Number.isFinite(value)) return value;
  }
  return null;
};

/** The training losses among metrics events, by step. */
export function lossesOf(events: readonly FineTuningEvent[]): LossPoint[] {
  const points = new Map<number, number>();
  for (const { type, data } of events) {
    if (type !== 'metrics' || data === null) continue;
    const step = numberAt(data, ['step']);
    const loss = numberAt(data, ['train_loss', 'loss']);
    // A validation's event may carry `loss` too; it says so by its type.
    if (step !== null && loss !== null && data['type'] !== 'validation') points.set(step, loss);
  }
  return [...points].map(([step, loss]) => ({ step, loss })).toSorted((a, b) => a.step - b.step);
}

export interface FollowedJob {
  readonly job: FineTuningJob;
  readonly events: readonly FineTuningEvent[];
}

/** Follows a job to its end (or pause) with a live line; warnings stand above the line. */
export async function followJob(
  io: Io,
  client: Pick<CorralClient, 'jobs'>,
  id: string,
  signal: AbortSignal,
): Promise<FollowedJob> {
  using progress = createProgress(io);
  const events: FineTuningEvent[] = [];
  let last: JobUpdate | null = null;
  for await (const update of watchJob(client, id, { signal })) {
    last = update;
    events.push(...update.events);
    const { text, fraction } = describeJob(update.job);
    progress.update(text, fraction);
  }
  if (last === null) throw new Error('a job was watched and gave no update');
  return { job: last.job, events };
}
