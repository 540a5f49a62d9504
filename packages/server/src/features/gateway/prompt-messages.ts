// OpenAI's messages in the engine's words: contents joined to text, calls and their answers matched. Pure.
import type { ChatCompletionRequest, PromptMessage, ToolCall } from '@corral/contracts';
import { invalid, unsupported } from './request-fields.ts';

type Message = ChatCompletionRequest['messages'][number];

/** As OpenAI has it. Templates may render names: no markup and no sentences. */
const speakerName = /^[\w-]{1,64}$/;

function textOf(content: Message['content'], at: string): string {
  if (typeof content === 'string') return content;
  if (content === null || content === undefined) return '';
  return content
    .map(({ type, text, refusal }, i) => {
      if (type === 'text' && text !== undefined) return text;
      if (type === 'refusal' && refusal !== undefined) return refusal;
      const reason = `content of type "${type}" is not understood; send text`;
      throw unsupported(`${at}.content[${i}].type`, reason);
    })
    .join('');
}

/** Calls that wait for their answers: ids and names of the functions. */
type OpenCalls = Map<string, string>;

function callsOf({ tool_calls, function_call }: Message, at: string): ToolCall[] {
  const calls = (tool_calls ?? []).map(({ id, type, function: call }, i): ToolCall => {
    if ((type ?? 'function') !== 'function' || call === undefined) {
      throw unsupported(`${at}.tool_calls[${i}].type`, 'only calls of functions are understood');
    }
    return { id, name: call.name, arguments: call.arguments };
  });
  if (function_call === null || function_call === undefined) return calls;
  if (calls.length > 0) throw invalid(`${at}.function_call`, 'cannot stand beside "tool_calls"');
  // The older form has no ids: the answer that follows it names the function.
  const { name, arguments: text } = function_call;
  return [{ id: `call_${name}`, name, arguments: text }];
}

function assistantMessage(message: Message, at: string): PromptMessage {
  const calls = callsOf(message, at);
  const { content, refusal } = message;
  const text = content === null || content === undefined ? (refusal ?? '') : textOf(content, at);
  return {
    role: 'assistant',
    content: text,
    ...nameOf(message, at),
    ...(calls.length > 0 ? { tool_calls: calls } : {}),
  };
}

/** A result, matched with the call it answers. */
function resultMessage(message: Message, at: string, open: OpenCalls): PromptMessage {
  const { role, content, tool_call_id: given, name: functionName } = message;
  const field = role === 'function' ? 'name' : 'tool_call_id';
  const id = role === 'function' && functionName !== undefined ? `call_${functionName}` : given;
  if (id === undefined) throw invalid(`${at}.${field}`, 'is needed');
  const name = open.get(id);
  if (name === undefined) {
    const value = role === 'function' ? functionName : id;
    throw invalid(`${at}.${field}`, `"${value}" answers no open call of the assistant before it`);
  }
  open.delete(id);
  if (content === null || content === undefined) throw invalid(`${at}.content`, 'is needed');
  return { role: 'tool', content: textOf(content, at), name, tool_call_id: id };
}

function nameOf({ name }: Message, at: string): { name?: string } {
  if (name === undefined) return {};
  if (!speakerName.test(name)) {
    throw invalid(`${at}.name`, 'may hold 1 to 64 letters, digits, "_" and "-" only');
  }
  return { name };
}

function refuseUnanswered(open: OpenCalls, at: string): void {
  if (open.size === 0) return;
  const ids = [...open.keys()].map((id) => `"${id}"`).join(', ');
  throw invalid(`${at}.tool_calls`, `are not all answered: there is no tool message for ${ids}`);
}

/** Messages as the prompt renderer wants them. Throws unsupported_parameter and invalid_request. */
export function promptMessages(messages: readonly Message[]): PromptMessage[] {
  const open: OpenCalls = new Map();
  let caller = '';
  const result = messages.map((message, i): PromptMessage => {
    const at = `messages[${i}]`;
    const { role, content } = message;
    if (role === 'tool' || role === 'function') return resultMessage(message, at, open);
    refuseUnanswered(open, caller);
    if (role === 'assistant') {
      const said = assistantMessage(message, at);
      for (const { id, name } of said.tool_calls ?? []) open.set(id, name);
      if (open.size !== (said.tool_calls?.length ?? 0)) {
        throw invalid(`${at}.tool_calls`, 'use one id twice');
      }
      caller = at;
      return said;
    }
    if (content === null || content === undefined) throw invalid(`${at}.content`, 'is needed');
    return { role, content: textOf(content, at), ...nameOf(message, at) };
  });
  refuseUnanswered(open, caller);
  return result;
}
