// POST /v1/embeddings through OpenAI's own client and by hand.
import type { AddressInfo } from 'node:net';
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createServingApp } from '../../testing/create-serving-app.fake.ts';
import type { ServingApp } from '../../testing/create-serving-app.fake.ts';

let server: ServingApp;
beforeAll(async () => {
  server = await createServingApp();
  await server.addBase('tiny');
});
afterAll(() => server.close());

const embed = (input: unknown, more: object = {}) =>
  server.call('POST', '/v1/embeddings', { body: { model: 'tiny', input, ...more } });
/** What the scripted engine makes of a text. */
const vectorOf = (text: string): number[] => {
  const codes = Array.from(text, (letter) => letter.codePointAt(0) ?? 0);
  const vector = [codes.length, codes[0] ?? 0, codes.at(-1) ?? 0, 1];
  return [...Float32Array.from(vector, (value) => value / Math.hypot(...vector))];
};

test('one text gives one vector of length 1', async () => {
  const { json } = await embed('hello');
  expect(json).toEqual({
    object: 'list',
    data: [{ object: 'embedding', index: 0, embedding: vectorOf('hello') }],
    model: 'tiny',
    usage: { prompt_tokens: 5, total_tokens: 5 },
  });
  const raw = await embed('hello', { corral: { normalize: false } });
  expect(raw.json.data[0].embedding).toEqual([5, 104, 111, 1]);
});

test('more texts than one call takes keep their order, and token ids stand for their text', async () => {
  const texts = Array.from({ length: 70 }, (_, i) => `text ${i}`);
  const { json } = await embed(texts);
  const vectors = json.data.map(({ embedding }: { embedding: number[] }) => embedding);
  expect(vectors).toEqual(texts.map(vectorOf));
  const ids = texts.slice(0, 2).map((text) => Array.from(text, (letter) => letter.codePointAt(0)));
  const byTokens = await embed(ids);
  expect(byTokens.json.data[1].embedding).toEqual(vectors[1]);
  expect((await embed(ids[0])).json.data[0].embedding).toEqual(vectors[0]);
});

test("OpenAI's own client reads both encodings", async () => {
  await server.app.listen({ port: 0, host: '127.0.0.1' });
  const { port } = server.app.server.address() as AddressInfo;
  const baseURL = `http://127.0.0.1:${port}/v1`;
  const openai = new OpenAI({ baseURL, apiKey: server.adminKey, maxRetries: 0 });
  const request = { model: 'tiny', input: ['a', 'bc'] };
  // It asks for base64 by itself.
  const { data, usage } = await openai.embeddings.create(request);
  expect(data.map(({ embedding }) => embedding)).toEqual(['a', 'bc'].map(vectorOf));
  expect(usage).toEqual({ prompt_tokens: 3, total_tokens: 3 });
  const floats = await openai.embeddings.create({ ...request, encoding_format: 'float' });
  expect(floats.data).toEqual(data);
});

test('a length is accepted when it is the own one, and refused otherwise', async () => {
  expect((await embed('x', { dimensions: 4 })).status).toBe(200);
  const { json } = await embed('x', { dimensions: 2 });
  expect(json.error).toMatchObject({ code: 'unsupported_parameter', param: 'dimensions' });
  expect(json.error.message).toContain('4 numbers');
});

test('the policy reads what is embedded', async () => {
  const { json } = await embed(['x', 'FORBIDDEN']);
  expect(json.error).toMatchObject({ code: 'content_blocked', param: 'input' });
});

test.each([
  ['input', { input: '' }],
  ['input[1]', { input: ['x', ''] }],
  ['input', { input: [] }],
  ['encoding_format', { encoding_format: 'int8' }],
])('%s with a value that is not valid', async (param, more) => {
  const { status, json } = await embed('x', more);
  expect([status, json.error.code, json.error.param]).toEqual([400, 'invalid_request', param]);
});

test('too long texts and unknown models are refused as for completions', async () => {
  const long = await embed('x'.repeat(20_000));
  expect(long.json.error.code).toBe('context_length_exceeded');
  expect((await embed('x', { model: 'nobody' })).json.error.code).toBe('model_not_found');
});
