// A whole server on a socket with a tiny random model behind it, served by llama.cpp: for tests that look at
// it from outside, as several projects do. Knows the model's id; the rest is HTTP.
import type { AddressInfo } from 'node:net';
import {
  createTestApp,
  type TestApp,
  type TestAppOptions,
} from '../../packages/server/src/testing/create-test-app.fake.ts';
import { temporaryFolder, writeTinyModel, type TinyModelOptions } from './engine-fixtures.ts';

export interface ModelServer extends AsyncDisposable {
  readonly app: TestApp;
  /** JSON in, JSON out, with the administrator's key unless told. */
  post(path: string, body: object, key?: string, signal?: AbortSignal): Promise<Answer>;
  /** The same, as a stream of text; leaving the loop hangs up. */
  stream(body: object, key?: string): AsyncGenerator<string, void>;
}

interface Answer {
  readonly status: number;
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into answers of any shape
  readonly json: any;
}

const model = 'tiny';

export async function startModelServer({
  config,
  model: made,
}: {
  readonly config: NonNullable<TestAppOptions['config']>;
  readonly model?: TinyModelOptions;
}): Promise<ModelServer> {
  await using folder = await temporaryFolder();
  const path = folder.path('tiny.gguf');
  await writeTinyModel(path, made);
  const app = await createTestApp({ config });
  await app.call('POST', '/api/v1/models/import', { body: { path, id: model } });
  for (;;) {
    const { status } = await app.call('GET', `/api/v1/models/${model}`);
    if (status === 200) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await app.app.listen({ port: 0, host: '127.0.0.1' });
  const { port } = app.app.server.address() as AddressInfo;

  const send = (url: string, body: object, key = app.adminKey, signal: AbortSignal | null = null) =>
    fetch(`http://127.0.0.1:${port}${url}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model, ...body }),
      signal,
    });
  return {
    app,
    async post(url, body, key, signal) {
      const response = await send(url, body, key, signal);
      return { status: response.status, json: await response.json() };
    },
    async *stream(body, key) {
      const response = await send('/v1/chat/completions', { ...body, stream: true }, key);
      if (!response.ok || response.body === null) throw new Error(await response.text());
      yield* textOf(response.body);
    },
    [Symbol.asyncDispose]: () => app.close(),
  };
}

/** The text of each chunk that has one. */
async function* textOf(body: ReadableStream<Uint8Array>): AsyncGenerator<string, void> {
  let rest = '';
  for await (const bytes of body.pipeThrough(new TextDecoderStream())) {
    const events = (rest + bytes).split('\n\n');
    rest = events.pop() ?? '';
    for (const event of events) {
      if (event === 'data: [DONE]') return;
      const chunk = JSON.parse(event.slice('data: '.length)) as {
        choices: { delta: { content?: string } }[];
      };
      const text = chunk.choices[0]?.delta.content ?? '';
      if (text !== '') yield text;
    }
  }
}
