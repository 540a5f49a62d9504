// Tools through OpenAI's own client: calls whole and in pieces, its helpers that run them, the older
// functions, structured output; and what the policy makes of all that.
import type { AddressInfo } from 'node:net';
import OpenAI from 'openai';
import { zodFunction, zodResponseFormat } from 'openai/helpers/zod';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { createServingApp } from '../../testing/create-serving-app.fake.ts';
import type { ServingApp } from '../../testing/create-serving-app.fake.ts';

let server: ServingApp;
let openai: OpenAI;
beforeAll(async () => {
  server = await createServingApp();
  await server.addBase('tiny');
  await server.app.listen({ port: 0, host: '127.0.0.1' });
  const { port } = server.app.server.address() as AddressInfo;
  const baseURL = `http://127.0.0.1:${port}/v1`;
  openai = new OpenAI({ baseURL, apiKey: server.adminKey, maxRetries: 0 });
});
afterAll(() => server.close());

const weather: OpenAI.ChatCompletionFunctionTool = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'The weather of a place.',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};
const time: OpenAI.ChatCompletionTool = { type: 'function', function: { name: 'get_time' } };
const calling = (...calls: { name: string; arguments: string }[]) =>
  `call ${JSON.stringify(calls)}`;
const inOslo = { name: 'get_weather', arguments: '{"city": "Oslo"}' };
const ask = (content: string) => ({
  model: 'tiny',
  messages: [{ role: 'user' as const, content }],
  tools: [weather, time],
});
const answers = async (content: string, more: object = {}) => {
  const body = { ...ask(content), ...more };
  return (await server.call('POST', '/v1/chat/completions', { body })).json;
};

describe('a call', () => {
  test('is a message without content', async () => {
    const { choices } = await openai.chat.completions.create(
      ask(calling(inOslo, { name: 'get_time', arguments: '{}' })),
    );
    expect(choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: {
        role: 'assistant',
        content: null,
        tool_calls: [
          { id: 'call_0', type: 'function', function: inOslo },
          { id: 'call_1', type: 'function', function: { name: 'get_time', arguments: '{}' } },
        ],
      },
    });
  });

  test('arrives in pieces that the client puts together', async () => {
    const stream = openai.chat.completions.stream(ask(calling(inOslo, inOslo)));
    const pieces: string[] = [];
    stream.on('tool_calls.function.arguments.delta', ({ arguments_delta: piece }) =>
      pieces.push(piece),
    );
    const { choices } = await stream.finalChatCompletion();
    expect(pieces.length).toBeGreaterThan(4);
    expect(choices[0]?.finish_reason).toBe('tool_calls');
    expect(choices[0]?.message.content).toBeNull();
    expect(choices[0]?.message.tool_calls).toMatchObject([
      { id: 'call_0', type: 'function', function: inOslo },
      { id: 'call_1', type: 'function', function: inOslo },
    ]);
  });

  test('is streamed in the form that clients know', async () => {
    const stream = await openai.chat.completions.create({ ...ask(calling(inOslo)), stream: true });
    const deltas = [];
    for await (const { choices } of stream) deltas.push(choices[0]?.delta);
    expect(deltas[0]).toEqual({ role: 'assistant', content: null, refusal: null });
    expect(deltas[1]?.tool_calls?.[0]).toEqual({
      index: 0,
      id: 'call_0',
      type: 'function',
      function: { name: 'get_weather', arguments: '' },
    });
    const later = deltas.slice(2, -1).map((delta) => delta?.tool_calls?.[0]);
    expect(later.every((call) => call?.id === undefined && call?.index === 0)).toBe(true);
    expect(later.map((call) => call?.function?.arguments).join('')).toBe(inOslo.arguments);
    expect(deltas.at(-1)).toEqual({});
  });

  test('is one of a tool that must be called', async () => {
    const required = await answers('say x', { tool_choice: 'required' });
    expect(required.choices[0].message.tool_calls[0].function.name).toBe('get_weather');
    const choice = { type: 'function', function: { name: 'get_time' } };
    const named = await answers('say x', { tool_choice: choice, n: 2 });
    expect(named.choices[1].message.tool_calls[0].function.name).toBe('get_time');
  });

  test('comes to the engine with its tools, choice and parallelism', async () => {
    const { choices } = await answers('show prompt', { parallel_tool_calls: false });
    expect(JSON.parse(choices[0].message.content)).toMatchObject({
      tools: [
        {
          name: 'get_weather',
          description: 'The weather of a place.',
          parameters: weather.function.parameters,
        },
        { name: 'get_time' },
      ],
      tool_choice: 'auto',
      parallel_tool_calls: false,
    });
  });
});

test.each([false, true])('the client runs tools and sends results (stream: %s)', async (stream) => {
  const seen: unknown[] = [];
  const tool = zodFunction({
    name: 'get_weather',
    parameters: z.object({ city: z.string() }),
    function: ({ city }) => {
      seen.push(city);
      return 'rain';
    },
  });
  const request = { ...ask(calling(inOslo)), tools: [tool] };
  const runner = stream
    ? openai.chat.completions.runTools({ ...request, stream: true })
    : openai.chat.completions.runTools(request);
  expect(await runner.finalContent()).toBe('get_weather says rain');
  expect(seen).toEqual(['Oslo']);
});

test('arguments and answers are parsed by their schemas', async () => {
  const parameters = z.object({ city: z.string() });
  const tool = zodFunction({ name: 'get_weather', parameters });
  const called = await openai.chat.completions.parse({ ...ask(calling(inOslo)), tools: [tool] });
  const [call] = called.choices[0]?.message.tool_calls ?? [];
  expect(call?.type === 'function' ? call.function.parsed_arguments : null).toEqual({
    city: 'Oslo',
  });
  const format = zodResponseFormat(parameters, 'place');
  const said = await openai.chat.completions.parse({
    model: 'tiny',
    messages: [{ role: 'user', content: 'say {"city": "Rome"}' }],
    response_format: format,
  });
  expect(said.choices[0]?.message.parsed).toEqual({ city: 'Rome' });
  const stream = openai.chat.completions.stream({
    model: 'tiny',
    messages: [{ role: 'user', content: 'say {"city": "Bergen"}' }],
    response_format: format,
  });
  const { choices } = await stream.finalChatCompletion();
  expect(choices[0]?.message.parsed).toEqual({ city: 'Bergen' });
});

test('what a schema asks in vain is named', async () => {
  const schema = { type: 'object', not: {} };
  const json = await answers('say x', {
    response_format: { type: 'json_schema', json_schema: { name: 's', schema } },
  });
  expect(json.error).toMatchObject({
    code: 'unsupported_parameter',
    param: 'response_format.json_schema.schema.not',
  });
});

test('functions are answered in their older form', async () => {
  const functions = [weather.function];
  const body = { ...ask(calling(inOslo)), tools: undefined, functions };
  const { json } = await server.call('POST', '/v1/chat/completions', { body });
  expect(json.choices[0]).toMatchObject({
    finish_reason: 'function_call',
    message: { content: null, function_call: inOslo },
  });
  expect(json.choices[0].message.tool_calls).toBeUndefined();
  const stream = await openai.chat.completions.create({
    ...ask(calling(inOslo)),
    tools: [],
    functions,
    stream: true,
  });
  let text = '';
  for await (const { choices } of stream) text += choices[0]?.delta.function_call?.arguments ?? '';
  expect(text).toBe(inOslo.arguments);
  const messages = [
    { role: 'user', content: 'x' },
    { role: 'assistant', content: null, function_call: inOslo },
    { role: 'function', name: 'get_weather', content: 'snow' },
  ];
  const answered = await server.call('POST', '/v1/chat/completions', {
    body: { model: 'tiny', messages, functions },
  });
  expect(answered.json.choices[0].message.content).toBe('get_weather says snow');
});

describe('the policy', () => {
  const blocked = [
    ['arguments', { name: 'get_weather', arguments: '{"city": "SECRET"}' }],
    ['escaped arguments', { name: 'get_weather', arguments: '{"city": "\\u0053ECRE\\u0054"}' }],
    ['a name', { name: 'SECRET', arguments: '{}' }],
  ] as const;
  test.each(blocked)('blocks a call for its %s, and says so', async (_what, call) => {
    const json = await answers(calling(inOslo, call));
    expect(json.choices[0]).toMatchObject({
      finish_reason: 'content_filter',
      message: { content: '[blocked: POL-SECRET]' },
    });
    expect(json.choices[0].message.tool_calls).toBeUndefined();
    expect(json.corral.policy).toMatchObject([{ action: 'redact', code: 'POL-SECRET' }]);
    expect((await server.audit()).at(-1)).toMatchObject({ action: 'policy.output_intervened' });
  });

  test.each(blocked)('never streams %s that it blocks', async (_what, call) => {
    const body = { ...ask(calling(call)), stream: true };
    const { text } = await server.call('POST', '/v1/chat/completions', { body });
    expect(text.replaceAll('POL-SECRET', '')).not.toMatch(/SECRET|u0053/);
    expect(text).toContain('[blocked: POL-SECRET]');
    expect(text).toContain('"finish_reason":"content_filter"');
  });

  test.each([
    ['a result', { result: 'FORBIDDEN' }],
    ['arguments of the history', { given: '{"a": ["FOR\\u0042IDDEN"]}' }],
    ['a key of the arguments', { given: '{"FORBIDDEN": 1}' }],
    ['a description', { tool: { name: 'f', description: 'FORBIDDEN' } }],
    ['a property', { tool: { name: 'f', parameters: { properties: { FORBIDDEN: {} } } } }],
    ['a word of an enum', { tool: { name: 'f', parameters: { enum: ['FORBIDDEN'] } } }],
  ])('reads %s', async (_what, more: { result?: string; given?: string; tool?: object }) => {
    const { result = 'x', given = '{}', tool = { name: 'f' } } = more;
    const call = { id: 'c', type: 'function', function: { name: 'f', arguments: given } };
    const messages = [
      { role: 'user', content: 'x' },
      { role: 'assistant', tool_calls: [call] },
      { role: 'tool', tool_call_id: 'c', content: result },
    ];
    const json = await answers('', { messages, tools: [{ type: 'function', function: tool }] });
    expect(json.error).toMatchObject({ code: 'content_blocked', param: 'messages' });
  });

  test('marks what it takes out of JSON, and says that it is not what was asked for', async () => {
    const json = await answers('say {"city":"\\u0053ECRET"}', {
      response_format: { type: 'json_object' },
    });
    const [{ message, finish_reason: reason }] = json.choices;
    expect(JSON.parse(message.content)).toEqual({ city: '[redacted: POL-SECRET]' });
    expect(reason).toBe('content_filter');
  });

  test('log-probabilities do not tell the text of a call', async () => {
    const json = await answers(calling(inOslo), { logprobs: true });
    expect(json.choices[0].logprobs.content).toEqual([]);
  });
});
