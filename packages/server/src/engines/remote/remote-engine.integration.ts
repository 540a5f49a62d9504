// A remote engine against a server that misbehaves in every way there is: what the caller sees, what is sent
// again, what is told of keys, and that nothing waits for ever. The server is scripted, on the loopback.
import type { GenerationEvent } from '@corral/contracts';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { GenerateRequest } from '../engine.ts';
import { RemoteEngine } from './remote-engine.ts';
import type { RemoteEngineOptions } from './remote-engine.ts';
import { remoteEngineSchema } from './remote-settings.ts';
import { startScriptedUpstream } from './scripted-upstream.fake.ts';
import type { ScriptedUpstream } from './scripted-upstream.fake.ts';

const key = 'sk-very-secret';
let upstream: ScriptedUpstream;
let engine: RemoteEngine;
let log: string[];

const connect = (more: Partial<RemoteEngineOptions> = {}): RemoteEngine => {
  const settings = { id: 'far', base_url: upstream.url, model: 'scripted' };
  const parsed = remoteEngineSchema.parse(settings);
  const onLog = (line: string) => void log.push(line);
  return new RemoteEngine({ ...parsed, apiKey: key, retryMs: 1, onLog, ...more });
};
beforeEach(async () => {
  log = [];
  upstream = await startScriptedUpstream();
  engine = connect();
});
afterEach(async () => {
  await engine.close();
  await upstream[Symbol.asyncDispose]();
});
const reconnect = async (more: Partial<RemoteEngineOptions>): Promise<void> => {
  await engine.close();
  engine = connect(more);
};

/** On a machine that is busy with other tests. */
const poll = <T>(what: () => T) => expect.poll(what, { timeout: 20_000 });
const ask = (content: string, more: Partial<GenerateRequest> = {}): GenerateRequest => ({
  tenant: 't',
  adapter: null,
  prompt: { kind: 'messages', messages: [{ role: 'user', content }] },
  maxTokens: 100,
  ...more,
});
async function collect(request: GenerateRequest, signal?: AbortSignal) {
  const all: GenerationEvent[] = [];
  for await (const event of engine.generate(request, signal)) all.push(event);
  return { text: all.map(({ text }) => text).join(''), finish: all.at(-1)?.finish, all };
}
/** What was seen before it failed, and the failure. */
async function failing(request: GenerateRequest) {
  let text = '';
  try {
    for await (const event of engine.generate(request)) text += event.text;
  } catch (error) {
    return { text, error };
  }
  throw new Error(`It did not fail: ${text}`);
}

describe('a server that behaves', () => {
  test('its bytes may come one by one', async () => {
    const { text, finish } = await collect(ask('say zwölf 🚢 kegs'));
    expect(text).toBe('zwölf🚢kegs');
    expect(finish).toEqual({
      reason: 'stop',
      prompt_tokens: 7,
      completion_tokens: 3,
      cached_tokens: 3,
    });
  });

  test('tool calls come in pieces, with an id where the server gives none', async () => {
    const tools = [{ name: 'ferry', parameters: { type: 'object' }, strict: true }];
    const messages = [{ role: 'user' as const, content: 'tool ferry {"to":"Dunmore"}' }];
    const prompt = { kind: 'messages' as const, messages, tools, tool_choice: { name: 'ferry' } };
    const { all, text, finish } = await collect(ask('', { prompt }));
    const deltas = all.flatMap(({ tool_calls: calls = [] }) => calls);
    expect(deltas[0]).toMatchObject({
      index: 0,
      name: 'ferry',
      id: expect.stringMatching(/^call_/),
    });
    expect(deltas.filter(({ id }) => id !== undefined)).toHaveLength(1);
    expect(deltas.map((delta) => delta.arguments).join('')).toBe('{"to":"Dunmore"}');
    expect([text, finish?.reason]).toEqual(['', 'tool_calls']);
    expect(upstream.asked[0]).toMatchObject({
      tools: [{ type: 'function', function: tools[0] }],
      tool_choice: { type: 'function', function: { name: 'ferry' } },
    });
  });

  test('everything that changes an answer is passed on, in its words', async () => {
    await reconnect({ type: 'vllm' });
    const sampling = { temperature: 0.5, top_k: 3, seed: 7, repetition_penalty: 1.1 };
    await collect(
      ask('count 1', {
        sampling: { ...sampling, logit_bias: [[5, -1]] },
        stop: ['x'],
        ignoreEos: true,
        responseFormat: { type: 'json_schema', schema: { type: 'object' } },
      }),
    );
    expect(upstream.asked[0]).toMatchObject({
      ...sampling,
      model: 'scripted',
      stream: true,
      stream_options: { include_usage: true },
      max_tokens: 100,
      top_p: 1,
      min_p: 0,
      logit_bias: { 5: -1 },
      stop: ['x'],
      ignore_eos: true,
      response_format: { type: 'json_schema', json_schema: { schema: { type: 'object' } } },
      // Another project's prompts must not be found in the cache.
      cache_salt: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(upstream.keys.at(-1)).toBe(`Bearer ${key}`);
  });

  test.each([
    ['top_k', { sampling: { top_k: 3 } }],
    ['ignore_eos', { ignoreEos: true }],
    ['echo', { echo: true }],
    ['adapter', { adapter: { id: 'a', path: '/a.gguf' } }],
  ])('what it does not know is refused by name: %s', async (param, more) => {
    await expect(collect(ask('say x', more))).rejects.toMatchObject({
      code: 'unsupported_parameter',
      param,
    });
    expect(upstream.asked).toEqual([]);
  });

  test('embeddings come in the order of the texts, normalised or as they are', async () => {
    const prompts = ['one', 'three'].map((text) => ({ kind: 'text' as const, text }));
    const embedded = async (normalize: boolean) => {
      const request = { tenant: 't', adapter: null, prompts, normalize };
      const { embeddings, prompt_tokens: counts } = await engine.embed(request);
      const firsts = embeddings.map((text) => Buffer.from(text, 'base64').readFloatLE(0));
      return [...firsts, ...counts];
    };
    expect(await embedded(false)).toEqual([3, 5, 5, 0]);
    expect(await embedded(true)).toEqual([1, 1, 5, 0]);
  });

  test('leaving early ends the request there', async () => {
    for await (const _ of engine.generate(ask('count 90 20'))) break;
    await poll(() => upstream.left).toBe(1);
    expect((await engine.report()).active).toBe(0);
  });

  test('a deadline ends the answer with what was there', async () => {
    const { text, finish } = await collect(ask('count 90 20', { deadlineMs: 200 }));
    expect(finish?.reason).toBe('deadline');
    expect(finish?.completion_tokens).toBe(text.trim().split(' ').length);
    await poll(() => upstream.left).toBe(1);
  });
});

describe('a server that does not', () => {
  test('failures before the first token are repeated', async () => {
    expect((await collect(ask('status 500 2'))).text).toBe('ok');
    expect((await collect(ask('status 429 1 0'))).text).toBe('ok');
    expect(upstream.asked).toHaveLength(5);
  });

  test.each([
    ['status 500', 'engine_failed', 'HTTP 500: refused 500', 3],
    ['status 503', 'engine_unavailable', 'HTTP 503', 3],
    ['status 400', 'invalid_request', 'refused the request (HTTP 400): refused 400', 1],
    ['status 401', 'engine_unavailable', 'refused the key', 1],
    ['status 404', 'engine_unavailable', 'no such model', 1],
    ['status 302', 'engine_unavailable', 'redirects', 1],
    ['garbage 0', 'engine_failed', 'not JSON', 1],
    ['error 0', 'engine_failed', 'broke off: out of luck', 1],
    ['filtered 0', 'engine_failed', 'content_filter', 1],
    ['flood 0', 'engine_failed', 'more than 1048576 characters', 1],
    ['cut 0', 'engine_failed', 'cut', 3],
  ])('%s: %s', async (content, code, message, tries) => {
    const { error } = await failing(ask(content));
    expect(error).toMatchObject({ code, message: expect.stringContaining(message) });
    expect(upstream.asked).toHaveLength(tries);
  });

  test.each(['cut 3', 'garbage 3', 'error 3'])(
    'what was seen is never asked for again: %s',
    async (content) => {
      const { text, error } = await failing(ask(content));
      expect(text).toBe('012');
      expect(error).toMatchObject({ code: 'engine_failed' });
      expect(upstream.asked).toHaveLength(1);
    },
  );

  test('a long Retry-After is the caller’s to keep', async () => {
    const { error } = await failing(ask('status 429 9 30'));
    expect(error).toMatchObject({
      code: 'rate_limit_exceeded',
      status: 429,
      details: { retry_after_seconds: 30 },
    });
    expect(upstream.asked).toHaveLength(1);
  });

  test('silence ends with what was waited for', async () => {
    await reconnect({ first_token_seconds: 0.2 });
    expect((await failing(ask('silent'))).error).toMatchObject({
      code: 'engine_failed',
      message: expect.stringContaining('no token within 0.2 s'),
    });
    await reconnect({ between_tokens_seconds: 0.2 });
    expect(await failing(ask('stall'))).toMatchObject({
      text: 'one',
      error: { message: expect.stringContaining('no further token within 0.2 s') },
    });
  });

  test('one that is not there is unavailable at once, seen in the report, and back when it is', async () => {
    const { url } = upstream;
    await upstream[Symbol.asyncDispose]();
    const { error } = await failing(ask('say x'));
    expect(error).toMatchObject({
      code: 'engine_unavailable',
      message: expect.stringContaining('nothing listens at its address'),
    });
    expect(await engine.report()).toMatchObject({
      state: 'unreachable',
      problem: 'nothing listens at its address',
      upstream: { url, key: expect.stringMatching(/^sha256:[0-9a-f]{8}$/) },
    });
    upstream = await startScriptedUpstream();
    await reconnect({});
    await engine.probe();
    expect(await engine.report()).toMatchObject({ state: 'ready', problem: null });
  });

  test('a server of one model answers to any name, one of several must have it', async () => {
    await reconnect({ model: 'other' });
    expect((await engine.info()).build).toBe('remote:scripted');
    upstream.models.push('second');
    await reconnect({ model: 'other' });
    await expect(engine.info()).rejects.toMatchObject({
      code: 'engine_unavailable',
      message: expect.stringContaining('it has no model "other" but "scripted", "second"'),
    });
  });

  test('more requests than it may get are refused', async () => {
    await reconnect({ max_requests: 1 });
    const first = collect(ask('count 20 10'));
    await poll(async () => (await engine.report()).active).toBe(1);
    await expect(collect(ask('say x'))).rejects.toMatchObject({ code: 'overloaded' });
    expect((await first).finish?.completion_tokens).toBe(20);
  });

  test('its key is in no error, no log and no report, even when the server quotes it', async () => {
    upstream.status = 418;
    const { error } = await failing(ask('say x'));
    expect(error).toMatchObject({ message: expect.stringContaining('no: Bearer ***') });
    upstream.status = 401;
    const refused = await failing(ask('say x'));
    const told = JSON.stringify([String(error), refused, log, await engine.report()]);
    expect(told).not.toContain(key);
  });

  test('closing ends what runs and refuses what comes', async () => {
    const running = failing(ask('count 90 20'));
    await poll(() => upstream.asked.length).toBe(1);
    await engine.close();
    expect((await running).error).toMatchObject({ code: 'engine_unavailable' });
    await expect(engine.info()).rejects.toMatchObject({ code: 'closed' });
  });
});
