// A model on another server, from the settings to the client: listed, answering, deployed under an alias,
// accounted for; not to be trained on, and never the way to its key.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadConfig } from '../../config.ts';
import type { ConfigInput } from '../../config.ts';
import { startScriptedUpstream } from '../../engines/remote/scripted-upstream.fake.ts';
import type { ScriptedUpstream } from '../../engines/remote/scripted-upstream.fake.ts';
import { createServingApp } from '../../testing/create-serving-app.fake.ts';
import type { ServingApp } from '../../testing/create-serving-app.fake.ts';

let upstream: ScriptedUpstream;
let server: ServingApp;
beforeAll(async () => {
  upstream = await startScriptedUpstream();
  const engines = [{ id: 'far', base_url: `${upstream.url}/`, model: 'scripted' }];
  server = await createServingApp({ config: { engines } });
});
afterAll(async () => {
  await server.close();
  await upstream[Symbol.asyncDispose]();
});

const chat = (body: object) => server.call('POST', '/v1/chat/completions', { body });
const saying = (content: string, model = 'far') => ({
  model,
  messages: [{ role: 'user', content }],
});

test('is listed and answers, whole and streamed, without a limit of tokens in the request', async () => {
  const { json } = await server.call('GET', '/api/v1/models/far');
  expect(json).toMatchObject({ kind: 'base', format: 'remote', servable: true, deployed: true });
  const answer = await chat(saying('count 3'));
  expect(answer.json).toMatchObject({
    choices: [{ message: { content: '1 2 3 ' }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 7, completion_tokens: 3 },
  });
  expect(upstream.asked.at(-1)).not.toHaveProperty('max_tokens');
  const streamed = await chat({ ...saying('count 3'), stream: true });
  expect(streamed.text).toContain('"content":"1 2 3 "');
  expect(streamed.text).toContain('[DONE]');
});

test('can be given another name', async () => {
  const body = { model: 'far', alias: 'helper' };
  expect((await server.call('POST', '/api/v1/deployments', { body })).status).toBe(201);
  const answer = await chat(saying('say hi', 'helper'));
  expect(answer.json.choices[0].message.content).toBe('hi');
});

test('a stream that is cut over there ends here with an error event, and no [DONE]', async () => {
  const { text } = await chat({ ...saying('cut 200'), stream: true });
  expect(text).toMatch(/data: \{"error":\{"message":"[^\n]*cut[^\n]*"code":"engine_failed"/);
  expect(text).not.toContain('[DONE]');
});

test('its failures are said, with the time to come back', async () => {
  const answer = await chat(saying('status 429 9 30'));
  expect([answer.status, answer.headers['retry-after']]).toEqual([429, '30']);
  const unsupported = await chat({ ...saying('say x'), corral: { top_k: 3 } });
  expect(unsupported.json.error).toMatchObject({ code: 'unsupported_parameter', param: 'top_k' });
});

test('is in the status, and what happened on record', async () => {
  const [engine] = await server.engines();
  expect(engine).toMatchObject({ base: 'far', kind: 'remote', state: 'ready' });
  const record = (await server.audit()).find(({ action }) => action === 'model.registered');
  expect(record).toMatchObject({
    resource: { id: 'far' },
    actor: { kind: 'system', id: 'settings' },
    after: { server: upstream.url, model: 'scripted' },
  });
});

test('cannot be trained on, nor rendered', async () => {
  const file = await server.upload('{"messages":[]}\n');
  const job = await server.call('POST', '/v1/fine_tuning/jobs', {
    body: { model: 'far', training_file: file.json.id },
  });
  expect(job.json.error).toMatchObject({ code: 'invalid_request', param: 'model' });
  const rendered = await server.call('POST', '/api/v1/render', { body: saying('x') });
  expect(rendered.json.error).toMatchObject({ code: 'unsupported_parameter', param: 'render' });
});

const far = { id: 'far', base_url: 'https://models.example/v1', model: 'm' };
const load = (engines: ConfigInput['engines'], environment: Record<string, string> = {}) =>
  loadConfig({ environment: { CORRAL_HOME: '/nowhere', ...environment }, overrides: { engines } });

test('settings take keys from the environment only, and are checked whole', () => {
  const [engine] = load([{ ...far, api_key_env: 'FAR_KEY' }], { FAR_KEY: 'sk-1' }).engines;
  expect(engine).toMatchObject({ id: 'far', apiKey: 'sk-1', type: 'openai' });
  const plain = { ...far, base_url: 'http://models.example/v1', api_key_env: 'FAR_KEY' };
  expect(() => load([plain, { ...far, api_key_env: 'NONE' }], { FAR_KEY: 'sk-1' })).toThrow(
    /engines.0.base_url: a key is sent in the clear[^]*engines.1.api_key_env[^]*engines.1.id: "far" is there twice/,
  );
  expect(() => load([{ ...far, base_url: 'https://user:pw@models.example' }])).toThrow('no user');
  const text = JSON.stringify([far]);
  expect(load(undefined, { CORRAL_ENGINES: text }).engines).toHaveLength(1);
});
