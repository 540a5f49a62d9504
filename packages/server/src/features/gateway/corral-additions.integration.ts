// What Corral adds to OpenAI's requests and answers: deadlines, the prefix cache, templates, and a look at
// the prompt.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createServingApp } from '../../testing/create-serving-app.fake.ts';
import type { ServingApp } from '../../testing/create-serving-app.fake.ts';

let server: ServingApp;
beforeAll(async () => {
  server = await createServingApp();
  await server.addBase('tiny');
});
afterAll(() => server.close());

const user = (content: string) => [{ role: 'user', content }];
const chat = (content: string, more: object = {}) =>
  server.call('POST', '/v1/chat/completions', {
    body: { model: 'tiny', messages: user(content), ...more },
  });

describe('a deadline', () => {
  test('cuts an answer, which says so', async () => {
    const { json } = await chat('count 500 20', { corral: { deadline_ms: 150 } });
    const [{ message, finish_reason: reason }] = json.choices;
    expect(reason).toBe('length');
    expect(message.content).toMatch(/^1 2 /);
    expect(json.corral.stopped_by).toBe('deadline');
  });

  test('cuts a stream, whose last chunk says so', async () => {
    const body = { stream: true, corral: { deadline_ms: 150 } };
    const { text } = await chat('count 500 20', body);
    expect(text).toContain('"finish_reason":"length"');
    expect(text).toContain('"stopped_by":"deadline"');
  });

  test.each([false, true])('before the first token is an error (stream: %s)', async (stream) => {
    const { status, json, headers } = await chat('count 5 5000', {
      stream,
      corral: { deadline_ms: 30 },
    });
    expect([status, json.error.code]).toEqual([504, 'deadline_exceeded']);
    expect(json.error.message).toContain('30 ms');
    // Clients retry a 504 by themselves, unless they are told not to.
    expect(headers['x-should-retry']).toBe('false');
  });
});

describe('the prefix cache', () => {
  const cached = async (content: string, more: object = {}): Promise<number> =>
    (await chat(content, more)).json.usage.prompt_tokens_details.cached_tokens;

  test('is counted in usage, also of a stream', async () => {
    expect(await cached('say once')).toBe(0);
    expect(await cached('say once')).toBeGreaterThan(0);
    const options = { stream: true, stream_options: { include_usage: true } };
    expect((await chat('say once', options)).text).toMatch(/"cached_tokens":[1-9]/);
  });

  test('is left alone when a request says so', async () => {
    const alone = { corral: { cache_prompt: false } };
    expect(await cached('say alone', alone)).toBe(0);
    expect(await cached('say alone', alone)).toBe(0);
    expect(await cached('say alone')).toBe(0);
  });
});

describe('a template', () => {
  const template = { corral: { chat_template: '<<other>>' } };

  test('of the request is used for an administrator', async () => {
    const { json } = await chat('echo', template);
    expect(json.choices[0].message.content).toBe('<<other>><user>echo\n<assistant>');
  });

  test('is not for others to choose', async () => {
    const key = await server.otherProject('team');
    for (const path of ['/v1/chat/completions', '/api/v1/render']) {
      const body = { model: 'tiny', messages: user('x'), ...template };
      const { status, json } = await server.call('POST', path, { key, body });
      expect([status, json.error.param]).toEqual([403, 'corral.chat_template']);
    }
  });
});

describe('a prompt', () => {
  const render = (more: object) =>
    server.call('POST', '/api/v1/render', {
      body: { model: 'tiny', messages: user('hi'), ...more },
    });

  test('can be looked at as the model sees it, token by token', async () => {
    const { json } = await render({});
    expect(json.text).toBe('<user>hi\n<assistant>');
    expect(json.tokens).toHaveLength(json.text.length);
    expect(json.pieces.join('')).toBe(json.text);
  });

  test('shows its tools, and is refused as a request would be', async () => {
    const tools = [{ type: 'function', function: { name: 'look' } }];
    expect((await render({ tools })).json.text).toContain('<tool>look');
    const { json } = await render({ tools: [{ type: 'custom' }] });
    expect(json.error).toMatchObject({ code: 'unsupported_parameter', param: 'tools[0].type' });
  });
});
