// The older text completions: raw text and token ids, several prompts, echo, the best of several answers.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createServingApp } from '../../testing/create-serving-app.fake.ts';
import type { ServingApp } from '../../testing/create-serving-app.fake.ts';

let server: ServingApp;
beforeAll(async () => {
  server = await createServingApp();
  await server.addBase('tiny');
});
afterAll(() => server.close());

const complete = (prompt: unknown, more: object = {}) =>
  server.call('POST', '/v1/completions', { body: { model: 'tiny', prompt, ...more } });
const letters = (text: string) => Array.from(text, (letter) => letter.codePointAt(0));

test('raw text is continued, with log-probabilities in four arrays', async () => {
  const { json } = await complete('say one two', { logprobs: 1 });
  expect(json).toEqual({
    id: expect.stringMatching(/^cmpl-\w{24}$/),
    object: 'text_completion',
    created: expect.any(Number),
    model: 'tiny',
    system_fingerprint: expect.stringMatching(/^fp_/),
    choices: [
      {
        index: 0,
        text: 'one two',
        finish_reason: 'stop',
        logprobs: {
          tokens: ['one', ' two'],
          token_logprobs: [-0.1, -0.1],
          top_logprobs: [{ one: -0.1 }, { ' two': -0.1 }],
          text_offset: [0, 3],
        },
      },
    ],
    usage: expect.objectContaining({ prompt_tokens: 11, completion_tokens: 2, total_tokens: 13 }),
    corral: { model: 'tiny', policy: [] },
  });
});

test.each([
  ['texts', ['say one', 'say two', 'say three']],
  ['token ids', ['say one', 'say two', 'say three'].map(letters)],
])('several prompts as %s are answered side by side, in order', async (_name, prompt) => {
  const { json } = await complete(prompt, { n: 2 });
  const all = json.choices.map(({ index, text }: { index: number; text: string }) => [index, text]);
  expect(all).toEqual([
    [0, 'one'],
    [1, 'one'],
    [2, 'two'],
    [3, 'two'],
    [4, 'three'],
    [5, 'three'],
  ]);
  // Each prompt is counted once, whatever the number of its answers.
  expect(json.usage).toMatchObject({ prompt_tokens: 7 + 7 + 9, completion_tokens: 6 });
});

test('as many answers as a request may have are not too many for the queue', async () => {
  const { status, json } = await complete(
    Array.from({ length: 64 }, (_, i) => `say ${i}`),
    { n: 2 },
  );
  expect(status).toBe(200);
  const texts = json.choices.map(({ text }: { text: string }) => text);
  expect(texts).toEqual(Array.from({ length: 128 }, (_, i) => String(Math.floor(i / 2))));
});

test('token ids of one prompt are streamed', async () => {
  const { text } = await complete(letters('say hi'), { stream: true });
  expect(text).toContain('"text":"hi"');
  expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
});

test('echo begins the text with the prompt, and its log-probabilities with the unknown', async () => {
  const { json } = await complete('say hi', { echo: true, logprobs: 1 });
  const [{ text, logprobs }] = json.choices;
  expect(text).toBe('say hihi');
  expect(logprobs.tokens).toEqual(['s', 'a', 'y', ' ', 'h', 'i', 'hi']);
  expect(logprobs.token_logprobs[0]).toBeNull();
  expect(logprobs.top_logprobs[0]).toBeNull();
  expect(logprobs.text_offset).toEqual([0, 1, 2, 3, 4, 5, 6]);
});

test('echo without new tokens scores the prompt', async () => {
  const { json } = await complete('say hi', { echo: true, logprobs: 0, max_tokens: 0 });
  expect(json.choices[0]).toMatchObject({ text: 'say hi', finish_reason: 'length' });
  expect(json.choices[0].logprobs.token_logprobs).toHaveLength(6);
  expect(json.usage.completion_tokens).toBe(0);
});

test('echo tells nothing that the guard withholds', async () => {
  const { json } = await complete('say the SECRET', { echo: true, logprobs: 0 });
  const [{ text, logprobs }] = json.choices;
  expect(text.replaceAll('[redacted: POL-SECRET]', '')).toBe('say the the ');
  expect(logprobs.tokens.join('')).not.toContain('SECRET');
  for (const [i, token] of logprobs.tokens.entries()) {
    const offset = logprobs.text_offset[i];
    expect(text.slice(offset, offset + token.length)).toBe(token);
  }
});

test('of the best of several answers as many are given as were asked for', async () => {
  const { json } = await complete('say a b', { n: 1, best_of: 3 });
  expect(json.choices).toHaveLength(1);
  expect(json.choices[0].logprobs).toBeNull();
  expect(json.usage.completion_tokens).toBe(6);
});

test('what Corral adds reaches the engine', async () => {
  const { json } = await complete('show sampling', {
    seed: 7,
    n: 2,
    logit_bias: { '12': -100 },
    frequency_penalty: 1,
    corral: { top_k: 5, min_p: 0.1, typical_p: 0.9, repetition_penalty: 1.5 },
  });
  const [first, second] = json.choices.map(({ text }: { text: string }) => JSON.parse(text));
  expect(first).toEqual({
    temperature: 1,
    top_p: 1,
    top_k: 5,
    min_p: 0.1,
    typical_p: 0.9,
    seed: 7,
    frequency_penalty: 1,
    presence_penalty: 0,
    repetition_penalty: 1.5,
    logit_bias: [[12, -100]],
  });
  expect(second.seed).toBe(8);
});

test.each([
  ['unsupported_parameter', 'suffix', { suffix: 'end' }],
  ['invalid_request', 'best_of', { best_of: 2, n: 3 }],
  ['invalid_request', 'best_of', { best_of: 2, stream: true }],
  ['invalid_request', 'prompt', { prompt: Array.from({ length: 20 }, () => 'x'), n: 10 }],
  ['invalid_request', 'prompt', { prompt: [] }],
  ['invalid_request', 'logprobs', { logprobs: 6 }],
])('%s: %s', async (code, param, more) => {
  const { status, json } = await complete('say x', more);
  expect([status, json.error.code, json.error.param]).toEqual([400, code, param]);
});
