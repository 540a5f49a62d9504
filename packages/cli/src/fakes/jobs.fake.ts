// Fine-tuning jobs that run one step a look.
import { fineTuningEventSchema, fineTuningJobSchema, type FineTuningJob } from '@corral/contracts';
import {
  list,
  modelOf,
  notFound,
  type FakeServerOptions,
  type FakeState,
  type Handler,
} from './state.fake.ts';

const parityOf = (passed: boolean) => ({
  prompt_tokens_equal: true,
  greedy_agreement: passed ? 1 : 0.4,
  mean_kl: 1.2e-5,
  positions: 120,
  transcripts: 8,
  passed,
  first_difference: null,
  serving_format: 'q8_0',
});

const figuresAt = (step: number, steps: number) => ({
  step,
  total_steps: steps,
  loss: 3 / (step + 1),
  tokens: step * 100,
  tokens_per_second: 200,
  seconds_left: steps - step,
  memory_bytes: 1e9,
  peak_memory_bytes: 1.2e9,
  gflops: 110,
  loss_before: 3,
  loss_after: step === steps ? 0.5 : null,
});

const newJob = (id: string, body: Readonly<Record<string, unknown>>): FineTuningJob =>
  fineTuningJobSchema.parse({
    id,
    object: 'fine_tuning.job',
    created_at: 1_790_000_000,
    finished_at: null,
    estimated_finish: null,
    fine_tuned_model: null,
    status: 'queued',
    error: null,
    validation_file: null,
    result_files: [],
    trained_tokens: null,
    seed: 42,
    organization_id: 'org',
    hyperparameters: {},
    method: { type: 'supervised' },
    integrations: [],
    metadata: null,
    suffix: null,
    ...body,
    corral: { ...(body['corral'] as object | undefined), figures: null, parity: null },
  });

const eventOf = (step: number) =>
  fineTuningEventSchema.parse({
    id: `ftevent-${step}`,
    object: 'fine_tuning.job.event',
    created_at: 1_790_000_000 + step,
    level: 'info',
    message: `Step ${step}`,
    type: 'metrics',
    data: { step, train_loss: 3 / (step + 1) },
  });

function jobBook(state: FakeState, options: FakeServerOptions) {
  const { steps = 3, failAtStep, parityPasses = true } = options;
  const find = (id: string | undefined): FineTuningJob => {
    const job = state.jobs.get(id ?? '');
    if (!job) throw notFound('fine-tuning job', id ?? '');
    return job;
  };
  const put = (job: FineTuningJob): FineTuningJob => {
    state.jobs.set(job.id, fineTuningJobSchema.parse(job));
    return job;
  };
  const advance = (job: FineTuningJob): FineTuningJob => {
    if (job.status === 'queued') return put({ ...job, status: 'running' });
    if (job.status !== 'running') return job;
    const step = (job.corral.figures?.step ?? 0) + 1;
    const error = { code: 'training_failed', message: 'the fake was told to fail', param: null };
    if (step === failAtStep) return put({ ...job, status: 'failed', error });
    const next = { ...job, corral: { figures: figuresAt(step, steps), parity: null } };
    if (step < steps) return put(next);
    const model = `ft:${job.model}:default:${job.suffix ?? ''}:abc`;
    state.models.set(model, modelOf(model, { kind: 'adapter', base: job.model, job_id: job.id }));
    state.log.record('fine_tuning_job.succeeded', 'fine_tuning_job', job.id);
    const corral = { figures: figuresAt(step, steps), parity: parityOf(parityPasses) };
    return put({ ...next, status: 'succeeded', fine_tuned_model: model, finished_at: 9, corral });
  };
  return { find, put, advance };
}

export function jobRoutes(state: FakeState, options: FakeServerOptions): Record<string, Handler> {
  const { find, put, advance } = jobBook(state, options);
  const change =
    (status: FineTuningJob['status']): Handler =>
    ({ holes }) =>
      put({ ...find(holes[0]), status });
  return {
    'POST /v1/fine_tuning/jobs': ({ body }) => {
      const id = `ftjob-${state.jobs.size + 1}`;
      state.log.record('fine_tuning_job.created', 'fine_tuning_job', id);
      return put(newJob(id, body));
    },
    'GET /v1/fine_tuning/jobs': () => list([...state.jobs.values()].toReversed()),
    'GET /v1/fine_tuning/jobs/:id': ({ holes }) => advance(find(holes[0])),
    'POST /v1/fine_tuning/jobs/:id/cancel': change('cancelled'),
    'POST /v1/fine_tuning/jobs/:id/pause': change('paused'),
    'POST /v1/fine_tuning/jobs/:id/resume': change('running'),
    'GET /v1/fine_tuning/jobs/:id/events': ({ holes, query }) => {
      const done = find(holes[0]).corral.figures?.step ?? 0;
      // Newest first, as the contract has it: `after` goes back in time.
      const before = Number(query.get('after')?.replace('ftevent-', '') ?? Infinity);
      const numbers = Array.from({ length: done }, (_, index) => index + 1);
      return list(
        numbers
          .filter((step) => step < before)
          .toReversed()
          .map(eventOf),
      );
    },
  };
}
