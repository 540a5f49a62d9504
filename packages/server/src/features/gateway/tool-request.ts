// Tools of a request in the engine's words: definitions, the choice among them, and the older `functions`
// that mean the same. Pure.
import type { ChatCompletionRequest, ToolChoice, ToolDefinition } from '@corral/contracts';
import { isTooDeep } from './json-depth.ts';
import { invalid, isEmpty, tooDeep, unsupported } from './request-fields.ts';

type ToolFields = Pick<
  ChatCompletionRequest,
  'tools' | 'tool_choice' | 'parallel_tool_calls' | 'functions' | 'function_call'
>;
type FunctionDefinition = NonNullable<ChatCompletionRequest['functions']>[number];

/** What a prompt of messages says about tools; empty when it has none. */
export interface PromptTools {
  readonly tools?: ToolDefinition[];
  readonly tool_choice?: ToolChoice;
  readonly parallel_tool_calls?: boolean;
}

/** As OpenAI has it, and dots, which some servers of tools use. */
const functionName = /^[\w.-]{1,64}$/;

function definitionOf(definition: FunctionDefinition, at: string): ToolDefinition {
  const { name, description, parameters, strict } = definition;
  if (!functionName.test(name)) {
    throw invalid(`${at}.name`, 'may hold 1 to 64 letters, digits, "_", "-" and "." only');
  }
  if (isTooDeep(parameters)) throw invalid(`${at}.parameters`, tooDeep);
  return {
    name,
    ...(description === undefined || description === null ? {} : { description }),
    ...(parameters === undefined || parameters === null ? {} : { parameters }),
    ...(strict === undefined || strict === null ? {} : { strict }),
  };
}

function definitionsOf({ tools, functions }: ToolFields): ToolDefinition[] {
  const fromTools = (tools ?? []).map(({ type, function: definition }, i) => {
    const at = `tools[${i}]`;
    if (type !== 'function') throw unsupported(`${at}.type`, 'only "function" tools are called');
    if (definition === undefined) throw invalid(`${at}.function`, 'is needed');
    return definitionOf(definition, `${at}.function`);
  });
  const older = (functions ?? []).map((one, i) => definitionOf(one, `functions[${i}]`));
  if (fromTools.length > 0 && older.length > 0) {
    throw invalid('functions', 'cannot stand beside "tools"; use "tools" alone');
  }
  const all = [...fromTools, ...older];
  const seen = new Set<string>();
  for (const { name } of all) {
    if (seen.has(name)) throw invalid('tools', `name the function "${name}" twice`);
    seen.add(name);
  }
  return all;
}

const choiceWords: ReadonlySet<string> = new Set(['auto', 'none', 'required']);
const isChoiceWord = (choice: string): choice is 'auto' | 'none' | 'required' =>
  choiceWords.has(choice);

/** The function's name that a choice object of OpenAI names. */
function namedChoice(choice: { readonly type: string; readonly [key: string]: unknown }): string {
  if (choice.type !== 'function') {
    throw unsupported('tool_choice.type', 'name one function, or "auto", "none" or "required"');
  }
  const { name } = (choice['function'] ?? {}) as { name?: unknown };
  if (typeof name !== 'string') throw invalid('tool_choice.function.name', 'is needed');
  return name;
}

/** Null: the caller says nothing. */
function choiceOf({ tool_choice, function_call }: ToolFields): ToolChoice | null {
  if (function_call !== undefined && function_call !== null) {
    if (typeof function_call === 'object') return { name: function_call.name };
    if (function_call === 'auto' || function_call === 'none') return function_call;
    throw invalid('function_call', 'is "auto", "none" or {"name": …}');
  }
  if (tool_choice === undefined || tool_choice === null) return null;
  if (typeof tool_choice === 'object') return { name: namedChoice(tool_choice) };
  if (isChoiceWord(tool_choice)) return tool_choice;
  throw invalid('tool_choice', 'is "auto", "none", "required" or names a function');
}

/** Throws unsupported_parameter and invalid_request, each naming the field. */
export function promptTools(body: ToolFields): PromptTools {
  const tools = definitionsOf(body);
  const choice = choiceOf(body);
  const field = isEmpty(body.function_call) ? 'tool_choice' : 'function_call';
  if (tools.length === 0) {
    if (choice === null || choice === 'auto' || choice === 'none') return {};
    throw invalid(field, 'needs "tools" to choose from');
  }
  if (choice !== null && typeof choice === 'object') {
    const { name } = choice;
    if (!tools.some((tool) => tool.name === name)) {
      throw invalid(field, `names "${name}", which is not among the tools`);
    }
  }
  // The older form has room for one call in an answer.
  const parallel = isEmpty(body.functions) ? (body.parallel_tool_calls ?? true) : false;
  return { tools, tool_choice: choice ?? 'auto', parallel_tool_calls: parallel };
}

/** The caller knows only the older form: calls are answered as `function_call`. */
export const wantsOlderForm = ({ functions }: ToolFields): boolean => !isEmpty(functions);
