// `corral jobs`: fine-tuning jobs of the server: list, show, watch, pause, resume, cancel, logs.
import type { FineTuningEvent, FineTuningJob } from '@corral/contracts';
import { jobError, jobEventsSince } from '@corral/sdk';
import type { CommandSpec, Input } from '../command-spec.ts';
import { connect, show, type Context } from '../context.ts';
import { exitCodes } from '../failures.ts';
import {
  formatBytes,
  formatCount,
  formatFields,
  formatLoss,
  formatTable,
  formatTime,
} from '../format.ts';
import { followJob } from '../job-progress.ts';

const statusColor = (job: FineTuningJob, context: Context): string => {
  const { green, red, yellow, cyan } = context.io.colors;
  switch (job.status) {
    case 'succeeded':
      return green(job.status);
    case 'failed':
    case 'cancelled':
      return red(job.status);
    case 'pausing':
    case 'paused':
      return yellow(job.status);
    case 'validating_files':
    case 'queued':
    case 'running':
      return cyan(job.status);
    default:
      return job.status satisfies never;
  }
};

const steps = ({ corral: { figures } }: FineTuningJob): string | null =>
  figures === null ? null : `${figures.step}/${figures.total_steps}`;

async function list(context: Context, input: Input): Promise<void> {
  const limit = input.integer('limit', { min: 1, max: 10_000 }) ?? 20;
  const { data } = await (await connect(context)).jobs.list({ limit });
  const head = ['JOB', 'STATUS', 'BASE', 'STEPS', 'LOSS', 'MODEL', 'CREATED'];
  const rows = data.map((job) => [
    job.id,
    statusColor(job, context),
    job.model,
    steps(job),
    formatLoss(job.corral.figures?.loss),
    job.fine_tuned_model,
    formatTime(job.created_at),
  ]);
  const none = 'No jobs yet. Start one with "corral tune BASE FILE".';
  show(context, data, data.length === 0 ? none : formatTable(head, rows, context.io.colors.bold));
}

/** Corral's name of the method, or OpenAI's where the server does not say. */
function methodOf({ corral, method }: FineTuningJob): string {
  const config = corral['config'] as { method?: unknown } | undefined;
  return typeof config?.method === 'string' ? config.method : method.type;
}

/** How preference pairs are rated; null for other methods. */
function rewardsOf({ corral: { figures } }: FineTuningJob): string | null {
  if (figures === null) return null;
  const { reward_accuracy: accuracy, reward_margin: margin } = figures;
  if (typeof accuracy !== 'number' || typeof margin !== 'number') return null;
  return `${(accuracy * 100).toFixed(1)} % of pairs rated right, margin ${margin.toFixed(3)}`;
}

/** All about one job, for `show` and for the end of `watch`. */
function describeOneJob(job: FineTuningJob, context: Context): string {
  const { figures, parity } = job.corral;
  const rewards = rewardsOf(job);
  const fields: [string, string][] = [
    ['job', job.id],
    ['status', statusColor(job, context)],
    ['base', job.model],
    ['method', methodOf(job)],
    ['model', job.fine_tuned_model ?? '–'],
    ['data', job.training_file],
    ['created', formatTime(job.created_at)],
  ];
  if (job.finished_at !== null) fields.push(['finished', formatTime(job.finished_at)]);
  if (figures !== null) {
    fields.push(
      ['steps', `${figures.step} of ${figures.total_steps}`],
      ['loss', formatLoss(figures.loss)],
      ['validation', `${formatLoss(figures.loss_before)} → ${formatLoss(figures.loss_after)}`],
      ...(rewards === null ? [] : [['rewards', rewards] as [string, string]]),
      ['speed', `${formatCount(figures.tokens_per_second)} tokens/s`],
      ['peak memory', formatBytes(figures.peak_memory_bytes ?? figures.memory_bytes)],
    );
  }
  if (parity !== null) {
    const agreement = `${(parity.greedy_agreement * 100).toFixed(1)} % greedy agreement, mean KL ${parity.mean_kl.toExponential(1)}`;
    fields.push(['parity', `${parity.passed ? 'passed' : 'failed'}: ${agreement}`]);
  }
  if (job.error !== null) fields.push(['error', `${job.error.code}: ${job.error.message}`]);
  return formatFields(fields, context.io.colors.dim);
}

async function showOne(context: Context, input: Input): Promise<void> {
  const job = await (await connect(context)).jobs.get(input.arg(0));
  show(context, job, describeOneJob(job, context));
}

/** Follows a job; shared with `corral tune --watch`. @throws the job's error when it fails. */
export async function watchToEnd(context: Context, id: string): Promise<void> {
  const client = await connect(context);
  const { job } = await followJob(context.io, client, id, context.signal);
  if (job.status === 'failed' || job.status === 'cancelled') throw jobError(job);
  show(context, job, describeOneJob(job, context));
}

const changes = {
  pause: { summary: 'write a checkpoint and stop; resume goes on from there', said: 'pausing' },
  resume: { summary: 'go on from the last checkpoint', said: 'resumed' },
  cancel: { summary: 'stop for good', said: 'cancelled' },
} as const;

const jobArgument = { name: 'ID', description: 'a job of "corral jobs list"' };

const changeCommand = (name: keyof typeof changes): CommandSpec => ({
  name,
  summary: changes[name].summary,
  args: [jobArgument],
  examples: [{ command: `corral jobs ${name} ftjob-…`, says: changes[name].summary }],
  failure: `The job could not be ${{ pause: 'paused', resume: 'resumed', cancel: 'cancelled' }[name]}.`,
  async run(context, input) {
    const { jobs } = await connect(context);
    const job = await jobs[name](input.arg(0));
    show(context, job, `${context.io.colors.green('✓')} ${job.id} is ${job.status}`);
  },
});

const formatEvent = (event: FineTuningEvent, context: Context): string => {
  const { dim, red, yellow } = context.io.colors;
  const paint = { info: (text: string) => text, warn: yellow, error: red }[event.level];
  return `${dim(formatTime(event.created_at))}  ${paint(event.message)}`;
};

async function logs(context: Context, input: Input): Promise<void> {
  const client = await connect(context);
  const events = await jobEventsSince(client, input.arg(0));
  show(context, events, events.map((event) => formatEvent(event, context)).join('\n'));
}

async function watch(context: Context, input: Input): Promise<number> {
  await watchToEnd(context, input.arg(0));
  return exitCodes.ok;
}

export const jobsCommand: CommandSpec = {
  name: 'jobs',
  summary: 'list, watch, pause, resume and cancel fine-tuning jobs',
  examples: [
    { command: 'corral jobs list', says: 'the newest first' },
    { command: 'corral jobs watch ftjob-…', says: 'follow one to its end' },
  ],
  failure: 'The jobs could not be read.',
  subcommands: [
    {
      name: 'list',
      summary: 'list jobs, the newest first',
      options: [{ flags: '--limit NUMBER', description: 'how many', fallback: '20' }],
      examples: [{ command: 'corral jobs list --limit 5', says: 'the last five' }],
      failure: 'The jobs could not be listed.',
      run: list,
    },
    {
      name: 'show',
      summary: 'show one job: status, figures, parity',
      args: [jobArgument],
      examples: [{ command: 'corral jobs show ftjob-…', says: 'all about it' }],
      failure: 'The job could not be shown.',
      run: showOne,
    },
    {
      name: 'watch',
      summary: 'follow a job to its end: bar, loss, tokens/s, time left',
      args: [jobArgument],
      examples: [
        { command: 'corral jobs watch ftjob-…', says: 'Ctrl-C stops watching, not the job' },
      ],
      failure: 'The job did not succeed.',
      run: watch,
    },
    changeCommand('pause'),
    changeCommand('resume'),
    changeCommand('cancel'),
    {
      name: 'logs',
      summary: 'print all that a job said',
      args: [jobArgument],
      examples: [{ command: 'corral jobs logs ftjob-…', says: 'the oldest first' }],
      failure: 'The log of the job could not be read.',
      run: logs,
    },
  ],
};
