// What may be answered when tools are offered: the grammar of calls, and that whatever it lets through is
// read back by the parser as valid calls.
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CorralError, type ToolDefinition } from '@corral/contracts';
import { responseExpression } from '../grammar/answer-grammars.ts';
import { randomText, seededRandom } from '../grammar/schema-grammar.fake.ts';
import { advanceBytes } from '../grammar/vocabulary-index.ts';
import { createToolAnswer, type ToolRequest } from './tool-answer.ts';
import { createToolCallParser } from './tool-call-parser.ts';
import { toolFormats, type ToolFormatName } from './tool-format.ts';

const weather: ToolDefinition = {
  name: 'get_weather',
  description: 'The weather of a city.',
  parameters: {
    type: 'object',
    properties: { city: { type: 'string', maxLength: 8 }, unit: { enum: ['C', 'F'] } },
    required: ['city'],
    additionalProperties: false,
  },
};
const add: ToolDefinition = {
  name: 'add',
  parameters: {
    type: 'object',
    properties: { a: { type: 'integer' }, b: { type: 'integer' } },
    required: ['a', 'b'],
    additionalProperties: false,
  },
};
const tools = [weather, add];

const answerOf = (request: Partial<ToolRequest>, format: ToolFormatName = 'tags') =>
  createToolAnswer(
    { tools, ...request },
    { format: toolFormats[format], prefix: '', response: null },
  );

const follow = (answer: ReturnType<typeof answerOf>, text: string) =>
  advanceBytes(answer.start(), new TextEncoder().encode(text));

function read(answer: ReturnType<typeof answerOf>, text: string) {
  const parser = createToolCallParser(answer.syntax, {
    callsOnly: answer.callsOnly,
    newId: () => 'id',
  });
  const { text: content, calls: deltas } = parser.push(text);
  const calls: { name: string; arguments: string }[] = [];
  for (const { index, name, arguments: piece } of deltas) {
    if (name !== undefined) calls[index] = { name, arguments: '' };
    const call = calls[index];
    if (call) call.arguments += piece;
  }
  return { content, calls };
}

const errorOf = (work: () => unknown): CorralError => {
  try {
    work();
  } catch (error) {
    if (CorralError.isInstance(error)) return error;
  }
  throw new Error('it was accepted');
};

const ajv = new Ajv2020({ addUsedSchema: false });

describe.each(['tags', 'bare'] as const)('calls written as %s', (format) => {
  it('are valid against their schemas, whatever is drawn', () => {
    let read_ = 0;
    const answer = answerOf({ tool_choice: 'required' }, format);
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const text = randomText(answer.start(), seededRandom(seed), 1000);
        if (text === null) return;
        const { content, calls } = read(answer, text);
        expect(content).toBe('');
        expect(calls.length).toBeGreaterThan(0);
        for (const { name, arguments: given } of calls) {
          const tool = tools.find((candidate) => candidate.name === name);
          expect(ajv.validate(tool?.parameters ?? false, JSON.parse(given)), text).toBe(true);
          read_++;
        }
      }),
      { numRuns: 60 },
    );
    expect(read_).toBeGreaterThan(30);
  });

  it('are of the named tool only, and one', () => {
    const answer = answerOf({ tool_choice: { name: 'add' } }, format);
    for (let seed = 0; seed < 20; seed++) {
      const text = randomText(answer.start(), seededRandom(seed), 1000) ?? '';
      expect(read(answer, text).calls.map(({ name }) => name)).toEqual(['add']);
    }
  });

  it('are one where calls may not be parallel', () => {
    const answer = answerOf({ tool_choice: 'required', parallel_tool_calls: false }, format);
    for (let seed = 0; seed < 20; seed++) {
      const text = randomText(answer.start(), seededRandom(seed), 1000) ?? '';
      expect(read(answer, text).calls).toHaveLength(1);
    }
  });
});

describe('tool_choice auto', () => {
  it('leaves text free until a call begins, and holds that to the schema', () => {
    const answer = answerOf({});
    expect(follow(answer, 'Nothing to call: <b>{"name"</b>')?.accepting).toBe(true);
    const call =
      'Let me add.\n<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>';
    expect(follow(answer, call)?.accepting).toBe(true);
    for (const wrong of ['"x"', '1.5', 'null'])
      expect(
        follow(answer, `<tool_call>\n{"name": "add", "arguments": {"a": ${wrong},`),
      ).toBeNull();
    expect(follow(answer, '<tool_call>\n{"name": "other"')).toBeNull();
    expect(follow(answer, `${call} and more`)).toBeNull();
    expect(follow(answer, `${call}\n<tool_call>`)).not.toBeNull();
  });

  it('takes a bare object for a call only when it names a tool', () => {
    const answer = answerOf({}, 'bare');
    expect(follow(answer, '{"name": "Ann", "age": 3}')?.accepting).toBe(true);
    expect(follow(answer, '{"name": "add", "parameters": {"a": 1, "b": 2}}')?.accepting).toBe(true);
    expect(follow(answer, '{"name": "add", "parameters": []')).toBeNull();
    expect(
      follow(answer, '{"type": "function", "name": "add", "parameters": {"a": 1, "b": 2}}')
        ?.accepting,
    ).toBe(true);
  });

  it('asks for calls or the format when there is one', () => {
    const response = responseExpression({ type: 'json_object' });
    const answer = createToolAnswer({ tools }, { format: toolFormats.tags, prefix: '', response });
    expect(follow(answer, '{"any": 1}')?.accepting).toBe(true);
    expect(
      follow(answer, '<tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}</tool_call>')
        ?.accepting,
    ).toBe(true);
    expect(follow(answer, 'text')).toBeNull();
  });
});

describe('tools', () => {
  const odd = { name: 'odd', parameters: { type: 'object', properties: { x: { not: {} } } } };

  it('that are strict are refused by the keyword that is not followed', () => {
    const error = errorOf(() => answerOf({ tools: [add, { ...odd, strict: true }] }));
    expect(error).toMatchObject({
      code: 'unsupported_parameter',
      param: 'tools[1].function.parameters.properties.x.not',
    });
  });

  it('that are not strict take any object then', () => {
    const answer = answerOf({ tools: [odd], tool_choice: 'required' });
    expect(
      follow(answer, '<tool_call>{"name": "odd", "arguments": {"y": [1]}}</tool_call>')?.accepting,
    ).toBe(true);
  });

  it('without parameters take any object', () => {
    const answer = answerOf({ tools: [{ name: 'now' }], tool_choice: 'required' });
    expect(
      follow(answer, '<tool_call>{"name": "now", "arguments": {}}</tool_call>')?.accepting,
    ).toBe(true);
  });

  it('of one name twice, and choices of none, are refused', () => {
    expect(errorOf(() => answerOf({ tools: [add, add] })).param).toBe('tools');
    expect(errorOf(() => answerOf({ tool_choice: { name: 'sub' } })).param).toBe('tool_choice');
  });
});
