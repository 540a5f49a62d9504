// A small server that speaks the contract from memory: what the commands are tested against. Jobs run
// one step a look; the tuned model knows every accepted answer, the base none.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  CorralError,
  deploymentSchema,
  fineTuningEventSchema,
  fineTuningJobSchema,
  modelDetailSchema,
  operationSchema,
  statusSchema,
  toErrorBody,
  type DataReport,
  type Deployment,
  type FineTuningJob,
  type ModelDetail,
  type Operation,
} from '@corral/contracts';
import { createFakeLog } from './evidence-log.fake.ts';

export interface FakeServerOptions {
  readonly home: string;
  /** Answers of the tuned model, by question. */
  readonly answers?: Readonly<Record<string, string>>;
  /** Error codes of pulls, by reference. */
  readonly pullFails?: Readonly<Record<string, 'download_failed' | 'license_not_accepted'>>;
  readonly dataErrors?: DataReport['errors'];
  readonly steps?: number;
  /** The job fails at this step. */
  readonly failAtStep?: number;
  readonly parityPasses?: boolean;
}

interface FakeRequest {
  readonly body: Record<string, unknown>;
  readonly query: URLSearchParams;
  /** What stood in the holes of the path. */
  readonly holes: readonly string[];
}
type Handler = (request: FakeRequest) => unknown;

export const fakeKey = 'sk-corral-fake';
const textOr = (value: unknown, otherwise: string): string =>
  typeof value === 'string' ? value : otherwise;
const list = (data: readonly unknown[]) => ({ object: 'list', data, has_more: false });

const modelOf = (id: string, over: Partial<ModelDetail> = {}): ModelDetail =>
  modelDetailSchema.parse({
    id,
    object: 'model',
    created: 1_790_000_000,
    owned_by: 'fake',
    kind: 'base',
    base: null,
    license: { id: 'Apache-2.0', url: null },
    source: 'a fake source',
    parameters: 135_000_000,
    format: 'q4_1',
    serving_format: 'q8_0',
    bytes: 98_362_432,
    sha256: 'ab'.repeat(32),
    deployed: true,
    job_id: null,
    parity: null,
    ...over,
  });

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

export interface FakeServer {
  readonly url: string;
  /** Requests so far, `METHOD /path`. */
  readonly requests: string[];
  readonly state: FakeState;
  close(): Promise<void>;
}

interface FakeState {
  readonly models: Map<string, ModelDetail>;
  readonly jobs: Map<string, FineTuningJob>;
  readonly files: Map<string, string>;
  readonly deployments: Map<string, Deployment>;
  readonly operations: Map<string, Operation>;
  readonly log: ReturnType<typeof createFakeLog>;
}

const notFound = (kind: string, id: string) =>
  new CorralError('not_found', { params: { kind, id } });

function jobRoutes(state: FakeState, options: FakeServerOptions): Record<string, Handler> {
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
  const figures = (step: number) => ({
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
  const advance = (job: FineTuningJob): FineTuningJob => {
    if (job.status === 'queued') return put({ ...job, status: 'running' });
    if (job.status !== 'running') return job;
    const step = (job.corral.figures?.step ?? 0) + 1;
    const error = { code: 'training_failed', message: 'the fake was told to fail', param: null };
    if (step === failAtStep) return put({ ...job, status: 'failed', error });
    const next = { ...job, corral: { figures: figures(step), parity: null } };
    if (step < steps) return put(next);
    const model = `ft:${job.model}:default:${job.suffix ?? ''}:abc`;
    state.models.set(model, modelOf(model, { kind: 'adapter', base: job.model, job_id: job.id }));
    state.log.record('fine_tuning_job.succeeded', 'fine_tuning_job', job.id);
    const corral = { figures: figures(step), parity: parityOf(parityPasses) };
    return put({ ...next, status: 'succeeded', fine_tuned_model: model, finished_at: 9, corral });
  };
  const change =
    (status: FineTuningJob['status']): Handler =>
    ({ holes }) =>
      put({ ...find(holes[0]), status });
  return {
    'POST /v1/fine_tuning/jobs': ({ body }) => {
      const id = `ftjob-${state.jobs.size + 1}`;
      state.log.record('fine_tuning_job.created', 'fine_tuning_job', id);
      return put(
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
          corral: { figures: null, parity: null },
        }),
      );
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
      const event = (step: number) =>
        fineTuningEventSchema.parse({
          id: `ftevent-${step}`,
          object: 'fine_tuning.job.event',
          created_at: 1_790_000_000 + step,
          level: 'info',
          message: `Step ${step}`,
          type: 'metrics',
          data: { step, train_loss: 3 / (step + 1) },
        });
      return list(
        numbers
          .filter((step) => step < before)
          .toReversed()
          .map(event),
      );
    },
  };
}

function modelRoutes(state: FakeState, options: FakeServerOptions): Record<string, Handler> {
  const operation = (over: Partial<Operation>): Operation => {
    const id = `op_${state.operations.size + 1}`;
    const made = operationSchema.parse({
      id,
      kind: 'model_pull',
      status: 'running',
      progress: { message: 'fetching', done_bytes: 5, total_bytes: 10, bytes_per_second: 5 },
      result: null,
      error: null,
      ...over,
    });
    state.operations.set(id, made);
    return made;
  };
  return {
    'GET /api/v1/models': () => list([...state.models.values()]),
    'GET /api/v1/models/:id': ({ holes: [id = ''] }) => {
      const model = state.models.get(id);
      if (!model) throw new CorralError('model_not_found', { params: { model: id } });
      return model;
    },
    'POST /api/v1/models/pull': ({ body }) => {
      const ref = textOr(body['ref'], '');
      const code = options.pullFails?.[ref];
      if (code === undefined) {
        state.models.set(ref, modelOf(ref));
        state.log.record('model.pulled', 'model', ref);
        return operation({ result: { id: ref } });
      }
      const params = { ref, details: 'all sources are silent', license: 'L', model: ref, url: '-' };
      const { message, next } = new CorralError(code, { params });
      return operation({ status: 'failed', error: { code, message, next } });
    },
    'POST /api/v1/models/import': ({ body }) => {
      const id = textOr(body['id'], 'imported');
      state.models.set(id, modelOf(id));
      return operation({ kind: 'model_import', result: { id } });
    },
    'POST /api/v1/models/:id/parity': () => operation({ kind: 'parity' }),
    'DELETE /api/v1/models/:id': ({ holes: [id = ''] }) => ({ deleted: state.models.delete(id) }),
    'GET /api/v1/operations/:id': ({ holes: [id = ''] }) => {
      const found = state.operations.get(id);
      if (!found) throw notFound('operation', id);
      return { ...found, status: found.status === 'running' ? 'succeeded' : found.status };
    },
  };
}

function otherRoutes(state: FakeState, options: FakeServerOptions): Record<string, Handler> {
  const key = {
    id: 'key_1',
    name: 'admin',
    hint: 'sk-corral-…fake',
    project: 'proj_1',
    scopes: ['admin'],
    created_at: 1_790_000_000,
    expires_at: null,
    revoked_at: null,
    last_used_at: null,
  };
  const file = (id: string, filename: string) => ({
    id,
    object: 'file',
    bytes: 1,
    created_at: 1,
    filename,
    purpose: 'fine-tune',
    status: 'processed',
  });
  return {
    'GET /readyz': () => ({ status: 'ready' }),
    'GET /api/v1/status': () =>
      statusSchema.parse({
        version: '0.0.0',
        ready: true,
        pid: 1,
        home: options.home,
        uptime_seconds: 61,
        database: { kind: 'pglite', version: '18' },
        engines: [],
        jobs: { queued: 0, running: 0 },
        evidence: { size: state.log.leaves.length },
      }),
    'GET /v1/files': () => list([...state.files].map(([id, name]) => file(id, name))),
    'POST /v1/files': ({ body }) => {
      const id = `file-${state.files.size + 1}`;
      state.files.set(id, String(body['filename']));
      state.log.record('file.created', 'file', id);
      return file(id, String(body['filename']));
    },
    'DELETE /v1/files/:id': ({ holes: [id = ''] }) => ({ id, deleted: state.files.delete(id) }),
    'POST /api/v1/data/check': (): DataReport => ({
      path: 'train.jsonl',
      format: 'chat',
      rows: 150,
      examples: 150,
      tokens: { total: 7000, mean: 47, max: 64, p95: 60 },
      loss_tokens: 1600,
      sha256: 'cd'.repeat(32),
      errors: options.dataErrors ?? [],
      error_count: options.dataErrors?.length ?? 0,
      preview: [
        {
          row: 1,
          segments: [
            { text: 'user: Dog fare?\nassistant: ', loss: false },
            { text: 'The dog fare is 3 tallows.', loss: true },
          ],
        },
      ],
    }),
    'GET /api/v1/deployments': () => list([...state.deployments.values()]),
    'POST /api/v1/deployments': ({ body }) => {
      const model = textOr(body['model'], '');
      const name = textOr(body['alias'], model);
      const base = state.models.get(model)?.base;
      if (base === undefined) throw new CorralError('model_not_found', { params: { model } });
      const previous_model = state.deployments.get(name)?.model ?? null;
      const made = { id: 'dep_1', name, model, base: base ?? model, created_at: 1, previous_model };
      state.deployments.set(name, deploymentSchema.parse(made));
      state.log.record('deployment.created', 'deployment', model);
      return made;
    },
    'POST /api/v1/deployments/:name/rollback': ({ holes: [name = ''] }) => {
      const found = state.deployments.get(name);
      if (!found) throw notFound('deployment', name);
      return found;
    },
    'DELETE /api/v1/deployments/:name': ({ holes: [name = ''] }) => ({
      deleted: state.deployments.delete(name),
    }),
    'GET /api/v1/evidence/head': () => state.log.head(),
    'GET /api/v1/evidence/export': () => state.log.bundle(),
    'GET /api/v1/evidence/entries': ({ query }) =>
      list(
        state.log.leaves
          .map((leaf, index) => ({ index, leaf, event: JSON.parse(leaf) as unknown }))
          .filter(({ index }) => index > Number(query.get('after') ?? -1)),
      ),
    'GET /api/v1/evidence/entries/:index/proof': ({ holes: [index] }) =>
      state.log.proof(Number(index)),
    'GET /api/v1/keys': () => list([key]),
    'POST /api/v1/keys': ({ body }) => ({ ...key, ...body, id: 'key_2', key: 'sk-corral-new' }),
    'DELETE /api/v1/keys/:id': () => ({ ...key, revoked_at: 2 }),
  };
}

function answerOf(state: FakeState, options: FakeServerOptions, body: Record<string, unknown>) {
  const model = textOr(body['model'], '');
  const known = state.models.has(model) || state.deployments.has(model);
  if (!known) throw new CorralError('model_not_found', { params: { model } });
  const messages = body['messages'] as { content: string }[];
  const tuned = state.deployments.has(model) || model.startsWith('ft:');
  return (tuned ? options.answers?.[messages.at(-1)?.content ?? ''] : undefined) ?? 'I ramble.';
}

/** Chat, streamed word by word or whole. */
function chat(content: string, body: Record<string, unknown>, response: ServerResponse): void {
  const head = { id: 'chatcmpl-1', created: 1, model: body['model'] };
  const usage = { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 };
  if (body['stream'] !== true) {
    const choice = { index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' };
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ ...head, object: 'chat.completion', choices: [choice], usage }));
    return;
  }
  response.setHeader('content-type', 'text/event-stream');
  const send = (choices: unknown[], more = {}) =>
    response.write(
      `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices, ...more })}\n\n`,
    );
  for (const word of content.split(/(?<= )/)) {
    send([{ index: 0, delta: { role: 'assistant', content: word }, finish_reason: null }]);
  }
  send([{ index: 0, delta: {}, finish_reason: 'stop' }]);
  send([], { usage });
  response.end('data: [DONE]\n\n');
}

async function readBody(request: IncomingMessage): Promise<Record<string, unknown>> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  const text = Buffer.concat(pieces).toString();
  const type = request.headers['content-type'] ?? '';
  if (type.startsWith('multipart/')) return { filename: /filename="([^"]+)"/.exec(text)?.[1] };
  return text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
}

const patternOf = (route: string): RegExp =>
  new RegExp(`^${route.replaceAll(/:\w+/g, '([^/]+)')}$`);

export async function startFakeServer(options: FakeServerOptions): Promise<FakeServer> {
  const state: FakeState = {
    models: new Map(),
    jobs: new Map(),
    files: new Map(),
    deployments: new Map(),
    operations: new Map(),
    log: createFakeLog(),
  };
  const routes = Object.entries({
    ...jobRoutes(state, options),
    ...modelRoutes(state, options),
    ...otherRoutes(state, options),
  }).map(([route, handle]) => ({ pattern: patternOf(route), handle }));
  const requests: string[] = [];

  async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://fake');
    const line = `${request.method} ${pathname}`;
    requests.push(line);
    const body = await readBody(request);
    if (request.headers.authorization !== `Bearer ${fakeKey}` && pathname !== '/readyz') {
      throw new CorralError('invalid_api_key', { params: { hint: 'sk-…' } });
    }
    if (line === 'POST /v1/chat/completions') {
      chat(answerOf(state, options, body), body, response);
      return;
    }
    for (const { pattern, handle } of routes) {
      const found = pattern.exec(line);
      if (!found) continue;
      const holes = found.slice(1).map(decodeURIComponent);
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(handle({ body, query: searchParams, holes })));
      return;
    }
    throw new CorralError('route_not_found', {
      params: { method: request.method ?? '', path: pathname },
    });
  }

  const server = createServer((request, response) => {
    respond(request, response).catch((error: unknown) => {
      const known = CorralError.isInstance(error) ? error : new CorralError('internal_error');
      response.statusCode = known.status;
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(toErrorBody(known, 'req_fake')));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    state,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
