// OpenAI's own client against a real server and llama.cpp: tools, structured output, embeddings, echo, the
// same seed. The model is the small one that is shipped: what it says is of no use, that it keeps to a form
// is the point.
import type OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import {
  newHome,
  pullModel,
  removeHome,
  startServer,
  type RunningServer,
} from './support/server-process.ts';

const home = newHome();
const model = 'rehearsal';
let server: RunningServer;
let openai: OpenAI;
beforeAll(async () => {
  server = await startServer(home);
  openai = server.client;
  await pullModel(server, model);
});
afterAll(async () => {
  await server?.stop();
  removeHome(home);
});

const messages = [{ role: 'user' as const, content: 'When does the ferry leave for the islands?' }];
const Booking = z.object({
  passengers: z.int().min(1).max(9),
  vehicle: z.enum(['none', 'bicycle', 'car']),
});
/** Short: the context of the model has 512 tokens. */
const Places = z.object({ n: z.int().min(1).max(9) });
const parameters = {
  type: 'object',
  properties: { n: { type: 'integer', minimum: 1, maximum: 9 } },
  required: ['n'],
  additionalProperties: false,
};
const book: OpenAI.ChatCompletionTool = {
  type: 'function',
  function: { name: 'book', parameters },
};
/** The arguments of the first call; they are what the schema says. */
function argumentsOf(calls: readonly OpenAI.ChatCompletionMessageToolCall[] | undefined): string {
  const [call] = calls ?? [];
  if (call?.type !== 'function') throw new Error('no function was called');
  expect(call.function.name).toBe('book');
  expect(Places.safeParse(JSON.parse(call.function.arguments)).success).toBe(true);
  return call.function.arguments;
}

test('a tool that must be called is called with arguments of its schema', async () => {
  const { choices } = await openai.chat.completions.create({
    model,
    messages,
    tools: [book],
    tool_choice: 'required',
    parallel_tool_calls: false,
    max_tokens: 120,
    seed: 1,
  });
  expect(choices[0]).toMatchObject({ finish_reason: 'tool_calls', message: { content: null } });
  argumentsOf(choices[0]?.message.tool_calls);
});

test('a streamed call says the same, and its result is answered', async () => {
  const choice = { type: 'function' as const, function: { name: 'book' } };
  const request = { model, messages, tools: [book], temperature: 0 };
  const once = { parallel_tool_calls: false, max_tokens: 120 };
  const calling = { ...request, tool_choice: choice, ...once };
  const { choices } = await openai.chat.completions.stream(calling).finalChatCompletion();
  const streamed = argumentsOf(choices[0]?.message.tool_calls);
  const whole = await openai.chat.completions.create(calling);
  const said = whole.choices[0]?.message;
  expect(argumentsOf(said?.tool_calls)).toBe(streamed);
  const asked: OpenAI.ChatCompletionMessageParam[] = [
    ...messages,
    { role: 'assistant', content: null, tool_calls: said?.tool_calls ?? [] },
    { role: 'tool', tool_call_id: said?.tool_calls?.[0]?.id ?? '', content: '12' },
  ];
  const answered = await openai.chat.completions.create({
    ...request,
    messages: asked,
    tool_choice: 'none',
    max_tokens: 8,
  });
  expect(answered.choices[0]?.message.tool_calls).toBeUndefined();
  expect(answered.choices[0]?.message.content).not.toBeNull();
});

test('an answer keeps to a schema, streamed or not', async () => {
  const format = zodResponseFormat(Booking, 'booking');
  const request = { model, messages, response_format: format, max_tokens: 120, temperature: 0 };
  const { choices } = await openai.chat.completions.parse(request);
  expect(choices[0]?.message.parsed).toEqual(
    Booking.parse(JSON.parse(choices[0]?.message.content ?? '')),
  );
  const streamed = await openai.chat.completions.stream(request).finalChatCompletion();
  expect(streamed.choices[0]?.message.parsed).toEqual(choices[0]?.message.parsed);
});

test('a keyword that cannot be held to is named by its path', async () => {
  const schema = { type: 'object', properties: { a: { not: { type: 'string' } } } };
  const asked = openai.chat.completions.create({
    model,
    messages,
    response_format: { type: 'json_schema', json_schema: { name: 's', schema } },
  });
  await expect(asked).rejects.toMatchObject({
    status: 400,
    code: 'unsupported_parameter',
    param: expect.stringContaining('response_format'),
    message: expect.stringContaining('not'),
  });
});

test('vectors have length 1, and a text is closest to itself', async () => {
  const input = ['The ferry leaves at six.', 'Dogs travel free of charge.'];
  const { data, usage } = await openai.embeddings.create({ model, input });
  const again = await openai.embeddings.create({ model, input: input[0] ?? '' });
  const product = (a: readonly number[], b: readonly number[]) =>
    a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0);
  const [first = [], second = []] = data.map(({ embedding }) => embedding);
  expect(product(first, first)).toBeCloseTo(1, 4);
  expect(product(first, second)).toBeLessThan(0.9999);
  expect(product(first, again.data[0]?.embedding ?? [])).toBeGreaterThan(0.999);
  expect(usage.prompt_tokens).toBeGreaterThan(10);
});

test('a prompt is scored by its echo, and continued when asked to', async () => {
  const prompt = 'The ferry leaves';
  const scored = await openai.completions.create({
    model,
    prompt,
    echo: true,
    logprobs: 2,
    max_tokens: 0,
  });
  const [choice] = scored.choices;
  expect(choice?.text).toBe(prompt);
  const logprobs = choice?.logprobs;
  expect(logprobs?.tokens?.join('')).toBe(prompt);
  expect(logprobs?.token_logprobs?.slice(1).every((value) => value <= 0)).toBe(true);
  const [, offset = 0] = logprobs?.text_offset ?? [];
  expect(prompt.slice(offset)).toBe(logprobs?.tokens?.slice(1).join(''));
  const best = await openai.completions.create({ model, prompt, n: 2, best_of: 3, max_tokens: 4 });
  expect(best.choices).toHaveLength(2);
  expect(best.usage?.completion_tokens).toBeGreaterThan(8);
});

test('several prompts are answered in order, and equal seeds give equal texts', async () => {
  const request = { model, prompt: ['The ferry', 'Dogs'], max_tokens: 6, seed: 5, n: 2 };
  const [a, b] = [
    await openai.completions.create(request),
    await openai.completions.create(request),
  ];
  expect(a.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
  expect(b.choices.map(({ text }) => text)).toEqual(a.choices.map(({ text }) => text));
  expect(a.choices[0]?.text).not.toBe(a.choices[1]?.text);
});

test('a prompt is shown token by token', async () => {
  const rendered = await server.api<{ text: string; tokens: number[]; pieces: string[] }>(
    'POST',
    '/api/v1/render',
    { model, messages },
  );
  expect(rendered.text).toContain('When does the ferry leave');
  expect(rendered.pieces).toHaveLength(rendered.tokens.length);
});
