// Files, data reports, deployments, evidence, keys and the status of the fake server.
import { CorralError, deploymentSchema, statusSchema, type DataReport } from '@corral/contracts';
import {
  list,
  notFound,
  textOr,
  type FakeServerOptions,
  type FakeState,
  type Handler,
} from './state.fake.ts';

type Routes = Record<string, Handler>;

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

const statusRoutes = (state: FakeState, options: FakeServerOptions): Routes => ({
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
});

const fileRoutes = (state: FakeState, options: FakeServerOptions): Routes => ({
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
});

const deploymentRoutes = (state: FakeState): Routes => ({
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
});

const evidenceRoutes = (state: FakeState): Routes => ({
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
});

const keyRoutes = (): Routes => ({
  'GET /api/v1/keys': () => list([key]),
  'POST /api/v1/keys': ({ body }) => ({ ...key, ...body, id: 'key_2', key: 'sk-corral-new' }),
  'DELETE /api/v1/keys/:id': () => ({ ...key, revoked_at: 2 }),
});

export const recordRoutes = (state: FakeState, options: FakeServerOptions): Routes => ({
  ...statusRoutes(state, options),
  ...fileRoutes(state, options),
  ...deploymentRoutes(state),
  ...evidenceRoutes(state),
  ...keyRoutes(),
});
