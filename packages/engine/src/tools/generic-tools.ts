// Tools for models whose template knows none: the tools are described in the system message, calls and
// results are written out as text of the conversation. Pure: messages in, messages out.
import type { PromptMessage, ToolDefinition } from '@corral/contracts';
import { dumpJson } from '../prompt/python-json.ts';
import { callTags } from './tool-format.ts';

const onOneLine = { indent: 0 };

/** A tool as OpenAI's API writes it, which is how models were shown tools. */
export const describeTool = ({ name, description, parameters }: ToolDefinition): object => ({
  type: 'function',
  function: {
    name,
    ...(description === undefined ? {} : { description }),
    parameters: parameters ?? { type: 'object', properties: {} },
  },
});

/** The arguments of a call as a value; text that is no JSON stays text. */
export function parseArguments(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function instructions(tools: readonly ToolDefinition[]): string {
  const list = tools.map((tool) => dumpJson(describeTool(tool), onOneLine)).join('\n');
  return (
    'You may call functions to answer. These are the functions, described by JSON schemas:\n' +
    `<tools>\n${list}\n</tools>\n\n` +
    `To call a function, write a JSON object with its name and its arguments between tags:\n` +
    `${callTags.open}\n{"name": "function name", "arguments": {"argument": "value"}}\n${callTags.close}\n` +
    'Call a function only when it helps. Otherwise answer in plain text.'
  );
}

function writeCalls({ content, tool_calls = [] }: PromptMessage): string {
  const calls = tool_calls.map(({ name, arguments: given }) => {
    const call = dumpJson({ name, arguments: parseArguments(given) }, onOneLine);
    return `${callTags.open}\n${call}\n${callTags.close}`;
  });
  return [content, ...calls].filter((part) => part !== '').join('\n');
}

/** Turns only: calls as text of the assistant, results as text of the user, neighbours of a role joined. */
function withoutCalls(messages: readonly PromptMessage[]): PromptMessage[] {
  const turns: PromptMessage[] = [];
  const add = (turn: PromptMessage, joins: boolean): void => {
    const previous = turns.at(-1);
    if (joins && previous?.role === turn.role)
      turns[turns.length - 1] = { ...previous, content: `${previous.content}\n${turn.content}` };
    else turns.push(turn);
  };
  let afterResult = false;
  for (const message of messages) {
    const { tool_calls: _, tool_call_id: __, ...rest } = message;
    if (message.role === 'tool') {
      const content = `<tool_response>\n${message.content}\n</tool_response>`;
      add({ role: 'user', content }, true);
    } else if (message.role === 'assistant') add({ ...rest, content: writeCalls(message) }, false);
    else add(rest, afterResult);
    afterResult = message.role === 'tool';
  }
  return turns;
}

const isSystem = ({ role }: PromptMessage): boolean => role === 'system' || role === 'developer';

/**
 * The conversation with the tools described in it: at the end of the system message, or, where `system` is
 * false (the template refuses such messages), at the start of the first message.
 */
export function withoutToolRoles(
  messages: readonly PromptMessage[],
  tools: readonly ToolDefinition[],
  { system }: { readonly system: boolean },
): PromptMessage[] {
  const turns = withoutCalls(messages);
  if (tools.length === 0) return turns;
  const text = instructions(tools);
  const [first, ...rest] = turns;
  if (!first) return turns;
  if (isSystem(first)) return [{ ...first, content: `${first.content}\n\n${text}` }, ...rest];
  if (system) return [{ role: 'system', content: text }, ...turns];
  return [{ ...first, content: `${text}\n\n${first.content}` }, ...rest];
}
