// The completions endpoints against scripted engine children: OpenAI's shapes, refusals by field, policy,
// failures in mid-stream, clients that leave.
import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createServingApp } from '../../testing/create-serving-app.fake.ts';
import type { ServingApp } from '../../testing/create-serving-app.fake.ts';

let server: ServingApp;
beforeAll(async () => {
  server = await createServingApp({ config: { limits: { requests_per_key: 4 } } });
  await server.addBase('tiny');
});
afterAll(() => server.close());

const user = (content: string) => [{ role: 'user', content }];
const chat = (content: string, more: object = {}) =>
  server.call('POST', '/v1/chat/completions', {
    body: { model: 'tiny', messages: user(content), ...more },
  });

interface Chunk {
  id: string;
  object: string;
  choices: {
    index: number;
    delta: { role?: string; content?: string };
    logprobs: { content: { token: string }[] } | null;
    finish_reason: string | null;
  }[];
  usage?: { total_tokens: number };
  corral?: { policy: { code: string; action: string }[] };
  error?: { code: string };
}
/** The `data:` events of a stream; the last must be [DONE] or an error. */
function events(text: string): { chunks: Chunk[]; done: boolean } {
  const lines = text.split('\n\n').filter((line) => line !== '');
  expect(lines.every((line) => line.startsWith('data: '))).toBe(true);
  const data = lines.map((line) => line.slice(6));
  const done = data.at(-1) === '[DONE]';
  return { chunks: (done ? data.slice(0, -1) : data).map((line) => JSON.parse(line)), done };
}
const contentOf = (chunks: readonly Chunk[], index = 0): string =>
  chunks
    .flatMap((chunk) => ('choices' in chunk ? chunk.choices : []))
    .filter((choice) => choice.index === index)
    .map(({ delta }) => delta.content ?? '')
    .join('');

describe('a chat completion', () => {
  test('has exactly the shape that clients read', async () => {
    const { status, json } = await chat('say hello world');
    expect(status).toBe(200);
    expect(json).toEqual({
      id: expect.stringMatching(/^chatcmpl-\w{24}$/),
      object: 'chat.completion',
      created: expect.any(Number),
      model: 'tiny',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'hello world', refusal: null, annotations: [] },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage: {
        prompt_tokens: 33,
        completion_tokens: 2,
        total_tokens: 35,
        prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
        completion_tokens_details: {
          reasoning_tokens: 0,
          audio_tokens: 0,
          accepted_prediction_tokens: 0,
          rejected_prediction_tokens: 0,
        },
      },
      service_tier: 'default',
      system_fingerprint: expect.stringMatching(/^fp_[0-9a-f]{20}$/),
      corral: { model: 'tiny', policy: [] },
    });
  });

  test('ends with length at max_tokens, and with stop at a stop string', async () => {
    expect((await chat('say a b c d', { max_tokens: 2 })).json.choices[0]).toMatchObject({
      message: { content: 'a b' },
      finish_reason: 'length',
    });
    expect((await chat('say a b c d', { stop: [' c'] })).json.choices[0]).toMatchObject({
      message: { content: 'a b' },
      finish_reason: 'stop',
    });
  });

  test('gives log-probabilities when asked, n answers, and content given in parts', async () => {
    const parts = [
      { type: 'text', text: 'say ' },
      { type: 'text', text: 'one two' },
    ];
    const { json } = await chat('', {
      messages: [{ role: 'user', content: parts }],
      logprobs: true,
      top_logprobs: 2,
      n: 3,
      seed: -5,
    });
    expect(json.choices.map(({ index }: { index: number }) => index)).toEqual([0, 1, 2]);
    expect(json.choices[2].logprobs.content).toEqual([
      {
        token: 'one',
        logprob: -0.1,
        bytes: [111, 110, 101],
        top_logprobs: [expect.anything(), expect.anything()],
      },
      expect.objectContaining({ token: ' two' }),
    ]);
    expect(json.usage).toMatchObject({ completion_tokens: 6 });
  });

  test('its fingerprint leads back to the bytes that answered', async () => {
    const { json } = await chat('say x');
    const facts = await server.call('GET', `/api/v1/fingerprints/${json.system_fingerprint}`);
    expect(facts.json).toMatchObject({
      model: 'tiny',
      base_sha256: 'a'.repeat(64),
      adapter_sha256: null,
      engine_build: 'fake-1',
    });
  });
});

describe('a stream', () => {
  test('opens with the role, ends with a finish reason, usage without choices, and [DONE]', async () => {
    const answer = await chat('say hello there', {
      stream: true,
      stream_options: { include_usage: true },
    });
    expect(answer.headers['content-type']).toContain('text/event-stream');
    const { chunks, done } = events(answer.text);
    expect(done).toBe(true);
    expect(chunks[0]?.choices[0]).toMatchObject({ delta: { role: 'assistant', content: '' } });
    expect(contentOf(chunks)).toBe('hello there');
    expect(chunks.at(-2)?.choices[0]).toMatchObject({ delta: {}, finish_reason: 'stop' });
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: 35 } });
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    expect(chunks.every(({ object }) => object === 'chat.completion.chunk')).toBe(true);
  });

  test('carries no usage unless asked, and several answers by index', async () => {
    const { chunks } = events((await chat('say a b', { stream: true, n: 2 })).text);
    expect(chunks.every(({ choices }) => choices.length === 1)).toBe(true);
    expect([contentOf(chunks, 0), contentOf(chunks, 1)]).toEqual(['a b', 'a b']);
  });

  test('that fails in the middle ends with an error event, never with a silent cut', async () => {
    const running = chat('count 1000 5', { stream: true });
    await expect.poll(async () => (await server.engines())[0]?.active).toBeGreaterThan(0);
    await chat('crash', { stream: true });
    const { chunks, done } = events((await running).text);
    expect(done).toBe(false);
    expect(contentOf(chunks)).toContain('1 2');
    expect(chunks.at(-1)?.error?.code).toBe('engine_failed');
    expect((await chat('say alive')).json.choices[0].message.content).toBe('alive');
  });

  test('that fails before its first token is an HTTP error', async () => {
    const { status, json } = await chat('fail', { stream: true });
    expect([status, json.error.code]).toEqual([500, 'engine_failed']);
  });

  test('whose client leaves stops generating', async () => {
    await server.app.listen({ port: 0, host: '127.0.0.1' });
    const { port } = server.app.server.address() as AddressInfo;
    const body = JSON.stringify({ model: 'tiny', stream: true, messages: user('count 1000 5') });
    const headers = {
      authorization: `Bearer ${server.adminKey}`,
      'content-type': 'application/json',
    };
    const active = async () => (await server.engines())[0]?.active;
    await new Promise((resolve, reject) => {
      const path = '/v1/chat/completions';
      const outgoing = request({ port, method: 'POST', path, headers }, (answer) => {
        answer.once('data', () => {
          resolve(
            active().then((count) => {
              answer.destroy();
              expect(count).toBe(1);
            }),
          );
        });
      });
      outgoing.on('error', reject);
      outgoing.end(body);
    });
    await expect.poll(active).toBe(0);
  });
});

describe('the policy', () => {
  test('refuses a request with the rule that did, on record', async () => {
    const { status, json } = await chat('say FORBIDDEN');
    expect(status).toBe(400);
    expect(json.error).toMatchObject({ code: 'content_blocked', param: 'messages' });
    expect(json.error.message).toContain('r.forbidden');
    expect(json.corral.details.policy).toMatchObject([{ code: 'POL-FORBIDDEN' }]);
    expect((await server.audit()).at(-1)).toMatchObject({
      action: 'policy.input_intervened',
      outcome: 'refused',
      after: { decisions: [{ code: 'POL-FORBIDDEN', pack: 'test@1' }] },
    });
  });

  test('reads the name of a speaker too: templates may render it', async () => {
    const messages = [{ role: 'user', name: 'FORBIDDEN', content: 'say x' }];
    const { status, json } = await chat('', { messages });
    expect([status, json.error.code]).toEqual([400, 'content_blocked']);
    const noted = await chat('', { messages: [{ role: 'user', name: 'NOTED', content: 'say x' }] });
    expect(noted.json.corral.policy).toMatchObject([{ code: 'POL-NOTED' }]);
    expect(noted.json.choices[0].message.content).toBe('x');
  });

  test('annotates in the answer', async () => {
    const { json } = await chat('say ok NOTED');
    expect(json.corral.policy).toMatchObject([{ action: 'annotate', code: 'POL-NOTED' }]);
  });

  test.each([false, true])('redacts visibly, on record (stream: %s)', async (stream) => {
    const answer = await chat('say the SECRET is out', { stream });
    const { content, policy } = read(answer.text, stream);
    expect(content).toBe('the [redacted: POL-SECRET] is out');
    expect(policy).toMatchObject([{ action: 'redact', code: 'POL-SECRET' }]);
    expect((await server.audit()).at(-1)).toMatchObject({
      action: 'policy.output_intervened',
      after: { decisions: [{ action: 'redact', start: 4, end: 10 }] },
    });
  });

  test('log-probabilities do not tell what was redacted', async () => {
    const { json } = await chat('say the SECRET is out', { logprobs: true });
    const tokens = json.choices[0].logprobs.content.map(({ token }: { token: string }) => token);
    expect(tokens).toEqual(['the', ' is', ' out']);
  });

  test.each([false, true])('ends an answer as content_filter (stream: %s)', async (stream) => {
    const answer = await chat('say go on then HALT never seen', { stream });
    const { content, finish, policy } = read(answer.text, stream);
    expect(content).toBe('go on then ');
    expect(finish).toBe('content_filter');
    expect(policy).toMatchObject([{ action: 'stop', code: 'POL-HALT' }]);
  });

  test('is public', async () => {
    const answer = await server.app.inject('/v1/policy');
    expect(answer.json()).toMatchObject({ object: 'policy', packs: [{ id: 'test' }] });
  });

  function read(text: string, stream: boolean) {
    if (!stream) {
      const { choices, corral } = JSON.parse(text);
      const [{ message, finish_reason: finish }] = choices;
      return { content: message.content, finish, policy: corral.policy };
    }
    const { chunks } = events(text);
    const last = chunks.at(-1);
    const finish = last?.choices[0]?.finish_reason;
    return { content: contentOf(chunks), finish, policy: last?.corral?.policy };
  }
});

describe('what cannot be honoured is refused by name', () => {
  test.each([
    ['unsupported_parameter', 'store', { store: true }],
    ['unsupported_parameter', 'tools[0].type', { tools: [{ type: 'custom' }] }],
    ['invalid_request', 'temperature', { temperature: 3 }],
    ['invalid_request', 'corral', { corral: { topk: 3 } }],
  ])('%s: %s', async (code, param, more) => {
    const { status, json } = await chat('say x', more);
    expect([status, json.error.code, json.error.param]).toEqual([400, code, param]);
  });

  test('harmless values and unknown fields pass', async () => {
    const { status } = await chat('say x', {
      tools: [],
      tool_choice: 'none',
      response_format: { type: 'text' },
      store: false,
      something_new: { a: 1 },
      user: 'u',
    });
    expect(status).toBe(200);
  });

  test('unknown models, too long prompts, and other scopes', async () => {
    const unknown = await chat('x', { model: 'nobody' });
    expect([unknown.status, unknown.json.error.code]).toEqual([404, 'model_not_found']);
    expect((await chat('say x', { max_tokens: 5000 })).json.error.code).toBe(
      'context_length_exceeded',
    );
    expect((await chat('x'.repeat(2000))).json.error.code).toBe('context_length_exceeded');
    const trainer = await server.call('POST', '/api/v1/keys', {
      body: { name: 't', scopes: ['training'] },
    });
    const refused = await server.call('POST', '/v1/chat/completions', {
      key: trainer.json.key,
      body: { model: 'tiny', messages: user('say x') },
    });
    expect(refused.status).toBe(403);
  });

  test('what cannot fit the context is refused before the policy reads it', async () => {
    const { json } = await chat(`FORBIDDEN ${'x'.repeat(10_000)}`);
    expect(json.error.code).toBe('context_length_exceeded');
    expect((await chat('FORBIDDEN')).json.error.code).toBe('content_blocked');
  });

  test.each([false, true])(
    'an engine without room says when to come again (%s)',
    async (stream) => {
      const { status, json, headers } = await chat('full 7', { stream });
      expect([status, json.error.code]).toEqual([503, 'overloaded']);
      expect(headers['retry-after']).toBe('7');
    },
  );

  test('one key cannot take all places', async () => {
    const answers = await Promise.all([1, 2].map(() => chat('count 20 5', { n: 3 })));
    const refused = answers.find(({ status }) => status === 429);
    expect(refused?.json.error.code).toBe('rate_limit_exceeded');
    expect(refused?.headers['retry-after']).toBe('1');
    expect((await chat('say x')).status).toBe(200);
  });
});

test('a prompt can be looked at as the model sees it', async () => {
  const { json } = await server.call('POST', '/api/v1/render', {
    body: { model: 'tiny', messages: user('hi') },
  });
  expect(json.text).toBe('<user>hi\n<assistant>');
  expect(json.tokens).toHaveLength(json.text.length);
});
