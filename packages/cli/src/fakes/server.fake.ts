// A small server that speaks the contract from memory: what the commands are tested against. The tuned
// model knows every accepted answer, the base none. Its routes are in the files beside this one.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CorralError, toErrorBody } from '@corral/contracts';
import { createFakeLog } from './evidence-log.fake.ts';
import { jobRoutes } from './jobs.fake.ts';
import { modelRoutes } from './models.fake.ts';
import { recordRoutes } from './records.fake.ts';
import { textOr, type FakeServerOptions, type FakeState } from './state.fake.ts';

export const fakeKey = 'sk-corral-fake';

export interface FakeServer {
  readonly url: string;
  /** Requests so far, `METHOD /path`. */
  readonly requests: string[];
  readonly state: FakeState;
  close(): Promise<void>;
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

const emptyState = (): FakeState => ({
  models: new Map(),
  jobs: new Map(),
  files: new Map(),
  deployments: new Map(),
  operations: new Map(),
  log: createFakeLog(),
});

export async function startFakeServer(options: FakeServerOptions): Promise<FakeServer> {
  const state = emptyState();
  const routes = Object.entries({
    ...jobRoutes(state, options),
    ...modelRoutes(state, options),
    ...recordRoutes(state, options),
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
