// What of a request is refused, by the name of the field; and what older forms are turned into.
import {
  CorralError,
  chatCompletionRequestSchema,
  completionRequestSchema,
} from '@corral/contracts';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { chatPrompt, chatSettings } from './chat-request.ts';
import { textPrompts, textSettings } from './text-request.ts';

const messages = [{ role: 'user', content: 'x' }];
function chat(more: object) {
  const body = chatCompletionRequestSchema.parse({ model: 'm', messages, ...more });
  return { settings: chatSettings(body), prompt: chatPrompt(body) };
}
function text(more: object) {
  const body = completionRequestSchema.parse({ model: 'm', prompt: 'x', ...more });
  return { settings: textSettings(body), prompts: textPrompts(body.prompt) };
}
function refusal(make: () => unknown): unknown[] {
  try {
    make();
  } catch (error) {
    const { code, param } = error as CorralError;
    return [code, param];
  }
  return [];
}

const deep = (levels: number): unknown => JSON.parse('['.repeat(levels) + ']'.repeat(levels));
const f = { type: 'function', function: { name: 'f' } };
const call = (id: string) => ({ id, type: 'function', function: { name: 'f', arguments: '{}' } });
const assistant = (...ids: string[]) => ({ role: 'assistant', tool_calls: ids.map(call) });
const result = (id: string) => ({ role: 'tool', tool_call_id: id, content: 'r' });
const said = (...all: unknown[]) => ({ messages: [...messages, ...all] });

describe('not supported', () => {
  test.each([
    ['audio', { audio: { voice: 'x' } }],
    ['modalities', { modalities: ['text', 'audio'] }],
    ['moderation', { moderation: {} }],
    ['prediction', { prediction: {} }],
    ['reasoning_effort', { reasoning_effort: 'high' }],
    ['service_tier', { service_tier: 'flex' }],
    ['store', { store: true }],
    ['verbosity', { verbosity: 'low' }],
    ['web_search_options', { web_search_options: {} }],
    ['top_k', { top_k: 40 }],
    ['chat_template', { chat_template: '{{ x }}' }],
    ['guided_json', { guided_json: {} }],
    ['tools[0].type', { tools: [{ type: 'custom', custom: { name: 'x' } }] }],
    ['tool_choice.type', { tools: [f], tool_choice: { type: 'allowed_tools' } }],
    ['response_format.type', { response_format: { type: 'grammar' } }],
    [
      'messages[1].content[0].type',
      said({ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }),
    ],
    [
      'messages[1].tool_calls[0].type',
      said({ role: 'assistant', tool_calls: [{ id: 'c', type: 'custom' }] }),
    ],
  ])('%s', (param, more) => {
    expect(refusal(() => chat(more))).toEqual(['unsupported_parameter', param]);
  });

  test.each([
    ['suffix', { suffix: 'x' }],
    ['tools', { tools: [f] }],
    ['top_k', { top_k: 1 }],
    ['use_beam_search', { use_beam_search: true }],
  ])('%s in text completions', (param, more) => {
    expect(refusal(() => text(more))).toEqual(['unsupported_parameter', param]);
  });
});

describe('not valid', () => {
  test.each([
    ['top_logprobs', { top_logprobs: 3 }],
    ['stream_options', { stream_options: { include_usage: true } }],
    ['logit_bias', { logit_bias: { x: 1 } }],
    ['logit_bias', { logit_bias: { '': 1 } }],
    ['messages[0].content', { messages: [{ role: 'user' }] }],
    ['messages[0].name', { messages: [{ role: 'user', content: 'x', name: 'two words' }] }],
    ['messages[0].name', { messages: [{ role: 'user', content: 'x', name: '' }] }],
    ['messages[0].name', { messages: [{ role: 'user', content: 'x', name: 'a'.repeat(65) }] }],
    ['response_format.json_schema.schema', { response_format: { type: 'json_schema' } }],
    ['tools[0].function', { tools: [{ type: 'function' }] }],
    ['tools[0].function.name', { tools: [{ type: 'function', function: { name: 'a b' } }] }],
    [
      'tools[0].function.parameters',
      { tools: [{ type: 'function', function: { name: 'f', parameters: { a: deep(200_000) } } }] },
    ],
    [
      'response_format.json_schema.schema',
      { response_format: { type: 'json_schema', json_schema: { schema: { a: deep(65) } } } },
    ],
    ['tools', { tools: [f, f] }],
    ['functions', { tools: [f], functions: [{ name: 'g' }] }],
    ['tool_choice', { tool_choice: 'required' }],
    ['tool_choice', { tools: [f], tool_choice: 'some' }],
    ['tool_choice', { tools: [f], tool_choice: { type: 'function', function: { name: 'g' } } }],
    ['tool_choice.function.name', { tools: [f], tool_choice: { type: 'function' } }],
    ['function_call', { functions: [{ name: 'g' }], function_call: { name: 'h' } }],
    ['messages[1].tool_call_id', said({ role: 'tool', content: 'r' })],
    ['messages[1].tool_call_id', said(result('a'))],
    ['messages[2].tool_call_id', said(assistant('a'), result('b'))],
    ['messages[3].tool_call_id', said(assistant('a'), result('a'), result('a'))],
    ['messages[1].tool_calls', said(assistant('a', 'a'))],
    ['messages[1].tool_calls', said(assistant('a', 'b'), result('b'))],
    ['messages[1].tool_calls', said(assistant('a'), { role: 'user', content: 'y' })],
    ['messages[1].name', said({ role: 'function', name: 'f', content: 'r' })],
    ['messages[2].content', said(assistant('a'), { role: 'tool', tool_call_id: 'a' })],
  ])('%s', (param, more) => {
    expect(refusal(() => chat(more))).toEqual(['invalid_request', param]);
  });
});

test('what asks for nothing special passes', () => {
  const { settings, prompt } = chat({
    tools: [],
    tool_choice: 'none',
    functions: null,
    parallel_tool_calls: true,
    response_format: { type: 'text' },
    modalities: ['text'],
    reasoning_effort: 'none',
    service_tier: 'auto',
    store: false,
    verbosity: null,
    echo: false,
    metadata: { a: 'b' },
  });
  expect(settings).toMatchObject({ n: 1, responseFormat: null, deadlineMs: null });
  expect(prompt).toEqual({ kind: 'messages', messages });
  expect(text({ suffix: '', best_of: 1 }).settings).toMatchObject({ n: 1, bestOf: 1 });
});

test('calls and their results come to the renderer matched, whatever their order', () => {
  const { prompt } = chat(said(assistant('a', 'b'), result('b'), result('a'), messages[0]));
  expect(prompt.kind === 'messages' && prompt.messages.slice(1, 4)).toEqual([
    {
      role: 'assistant',
      content: '',
      tool_calls: [
        { id: 'a', name: 'f', arguments: '{}' },
        { id: 'b', name: 'f', arguments: '{}' },
      ],
    },
    { role: 'tool', content: 'r', name: 'f', tool_call_id: 'b' },
    { role: 'tool', content: 'r', name: 'f', tool_call_id: 'a' },
  ]);
});

test('the older functions become tools of which one is called', () => {
  const functions = [{ name: 'f', description: 'd', parameters: { type: 'object' } }];
  expect(chat({ functions, function_call: { name: 'f' } }).prompt).toMatchObject({
    tools: [{ name: 'f', description: 'd', parameters: { type: 'object' } }],
    tool_choice: { name: 'f' },
    parallel_tool_calls: false,
  });
});

const words =
  'role content name type function arguments parameters id tool_calls tool_call_id function_call json_schema schema'.split(
    ' ',
  );
/** Values that are nearly right: the words of the API in places where they may not belong. */
const nearly: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom('function', 'auto', 'none', 'json_schema', 'text', 'user', 'assistant', 'tool'),
    fc.constantFrom(null, true, false, 0, 1, -1, 1.5, 1e9, ''),
    fc.string(),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...words), tie('value'), { maxKeys: 4 }),
  ),
})).value;

test('no body ends in anything but a request or an error with the field at fault', () => {
  const message = fc.record(
    {
      role: fc.constantFrom('system', 'user', 'assistant', 'tool', 'function'),
      content: fc.oneof(fc.constant('x'), nearly),
      name: fc.oneof(fc.constant('f'), nearly),
      tool_calls: fc.oneof(fc.array(fc.constantFrom(call('a'), call('b'))), nearly),
      tool_call_id: fc.constantFrom('a', 'b'),
      function_call: fc.oneof(fc.constant({ name: 'f', arguments: '{}' }), nearly),
    },
    { requiredKeys: ['role'] },
  );
  const fields = Object.keys(chatCompletionRequestSchema.shape).filter((name) => name !== 'model');
  const body = fc.record({
    messages: fc.array(message, { minLength: 1, maxLength: 5 }),
    more: fc.dictionary(fc.constantFrom(...fields, 'top_k', 'audio', 'store'), nearly),
  });
  fc.assert(
    fc.property(body, ({ messages: all, more }) => {
      const parsed = chatCompletionRequestSchema.safeParse({ model: 'm', messages: all, ...more });
      if (!parsed.success) return;
      let fault: unknown = null;
      try {
        chatSettings(parsed.data);
        chatPrompt(parsed.data);
      } catch (error) {
        fault = error;
      }
      expect(fault === null || (CorralError.isInstance(fault) && fault.param !== null)).toBe(true);
    }),
    { numRuns: 2000 },
  );
});
