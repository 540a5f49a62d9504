// Models and the operations that bring them: each is done at the second look.
import { CorralError, operationSchema, type Operation } from '@corral/contracts';
import {
  list,
  modelOf,
  notFound,
  textOr,
  type FakeServerOptions,
  type FakeState,
  type Handler,
} from './state.fake.ts';

export function modelRoutes(state: FakeState, options: FakeServerOptions): Record<string, Handler> {
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
    'POST /api/v1/render': ({ body }) => {
      const messages = body['messages'] as { role: string; content: string }[];
      const pieces = messages.flatMap(({ role, content }) => [`<${role}>`, content]);
      return { text: pieces.join(''), tokens: pieces.map((_, i) => i), pieces };
    },
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
    'POST /api/v1/models/:id/export': ({ body }) =>
      operation({
        kind: 'model_export',
        result: { ...body, weights: 'F16', bytes: 2_000_000, notes: ['Look twice.'] },
      }),
    'DELETE /api/v1/models/:id': ({ holes: [id = ''] }) => ({ deleted: state.models.delete(id) }),
    'GET /api/v1/operations/:id': ({ holes: [id = ''] }) => {
      const found = state.operations.get(id);
      if (!found) throw notFound('operation', id);
      return { ...found, status: found.status === 'running' ? 'succeeded' : found.status };
    },
  };
}
