// What an answer must look like when tools are offered: free text with calls in it, calls only, or the calls
// of one tool. Each call is held to the schema of its tool from the moment it begins.
import { CorralError, type Prompt, type ToolDefinition } from '@corral/contracts';
import { compileAt } from '../grammar/answer-grammars.ts';
import {
  call,
  choice,
  createRule,
  literal,
  optional,
  repeat,
  sequence,
  type Expression,
} from '../grammar/expression.ts';
import type { ByteState } from '../grammar/grammar.ts';
import { anyObject, comma, member, space } from '../grammar/json-text.ts';
import { schemaExpression } from '../grammar/schema-grammar.ts';
import { schemaAt, type SchemaPlace } from '../grammar/schema-keywords.ts';
import { createTrigger } from '../grammar/trigger.ts';
import type { ToolCallSyntax } from './tool-call-parser.ts';
import type { ToolFormat } from './tool-format.ts';

/** Calls of one answer; a model that repeats itself must come to an end. */
const maxCalls = 16;

type MessagesPrompt = Extract<Prompt, { kind: 'messages' }>;

/** The part of a prompt that says what may be called. */
export type ToolRequest = Pick<MessagesPrompt, 'tools' | 'tool_choice' | 'parallel_tool_calls'>;

export interface ToolAnswer {
  /** Where the grammar of the answer starts; not to be kept: states lead to all states found since. */
  start(): ByteState;
  readonly syntax: ToolCallSyntax;
  /** The answer is nothing but calls. */
  readonly callsOnly: boolean;
}

const invalid = (reason: string, param: string): CorralError =>
  new CorralError('invalid_request', { params: { reason }, param });

/** Tools the answer may call. Throws CorralError `invalid_request`. */
function callableTools({
  tools = [],
  tool_choice = 'auto',
}: ToolRequest): readonly ToolDefinition[] {
  const names = tools.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw invalid(`two tools are called "${twice}"`, 'tools');
  if (typeof tool_choice === 'string') return tools;
  const named = tools.filter(({ name }) => name === tool_choice.name);
  if (named.length === 0)
    throw invalid(
      `tool_choice names "${tool_choice.name}", which is not among the tools`,
      'tool_choice',
    );
  return named;
}

/** Arguments by the tool's schema; of one that is not strict and cannot be followed, any object. */
function argumentsOf({ parameters, strict }: ToolDefinition, place: SchemaPlace): Expression {
  try {
    return schemaExpression({ type: 'object', ...parameters }, place);
  } catch (error) {
    if (strict === true || !CorralError.isInstance(error)) throw error;
    return anyObject;
  }
}

function callExpression(tool: ToolDefinition, place: SchemaPlace, format: ToolFormat): Expression {
  const body = sequence(
    literal('{'),
    space,
    format.lead,
    member(literal('"name"'), literal(JSON.stringify(tool.name))),
    comma,
    member(literal(`"${format.argumentsKey}"`), argumentsOf(tool, place)),
    space,
    literal('}'),
  );
  return call(createRule(tool.name, body));
}

function callsExpression(request: ToolRequest, format: ToolFormat): Expression {
  const { tools = [], tool_choice, parallel_tool_calls = true } = request;
  const one = choice(
    ...callableTools(request).map((tool) => {
      const at = `tools[${tools.indexOf(tool)}].function.parameters`;
      return callExpression(tool, schemaAt(at), format);
    }),
  );
  const whole = call(createRule('call', sequence(format.open, one, format.close)));
  const several = parallel_tool_calls && typeof tool_choice !== 'object';
  return several
    ? sequence(whole, repeat(sequence(format.between, whole), 0, maxCalls - 1))
    : whole;
}

export interface ToolAnswerOptions {
  readonly format: ToolFormat;
  /** White space that the template puts before an answer. */
  readonly prefix: string;
  /** What an answer without calls must be; null: any text. */
  readonly response: Expression | null;
}

/** Throws CorralError `invalid_request`, or `unsupported_parameter` for the schema of a strict tool. */
export function createToolAnswer(
  request: ToolRequest,
  { format, prefix, response }: ToolAnswerOptions,
): ToolAnswer {
  const place = schemaAt('tools');
  const { tool_choice = 'auto' } = request;
  const calls = callsExpression(request, format);
  const syntax = format.syntax(callableTools(request).map(({ name }) => name));
  const before = optional(literal(prefix));
  if (tool_choice !== 'auto') {
    const grammar = compileAt(sequence(before, calls), place);
    return { start: grammar.start, syntax, callsOnly: true };
  }
  if (response) {
    const grammar = compileAt(sequence(before, choice(calls, response)), place);
    return { start: grammar.start, syntax, callsOnly: false };
  }
  const { markers, atStart } = syntax;
  const free = createTrigger({ markers, atStart, grammar: compileAt(calls, place) });
  return { start: () => free, syntax, callsOnly: false };
}
