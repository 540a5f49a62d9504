// OpenAI's chat format, one row: messages in, a checked ChatExample out. Roles, order and content are
// judged here; length is not (that needs a tokenizer).
import type { ChatExample, ChatMessage, MessageRole, ToolCall } from './example.ts';
import { RowError, quote } from './row-error.ts';

/** A conversation of more turns is a mistake in the export, not a conversation. */
const maxMessages = 4096;

const roles: Record<string, MessageRole> = {
  system: 'system',
  // OpenAI renamed the role; templates know only the old name.
  developer: 'system',
  user: 'user',
  assistant: 'assistant',
  tool: 'tool',
};

export type Fields = Record<string, unknown>;

export const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Checks the messages of one row. Throws RowError. */
export function readChatRow(row: Fields): ChatExample {
  const { messages } = row;
  if (!Array.isArray(messages)) {
    const reason = `"messages" is ${messages === undefined ? 'missing' : 'not a list'}`;
    throw new RowError(reason, 'give "messages" as a list of {role, content}');
  }
  const tools = readTools(row['tools']);
  return checkConversation({
    kind: 'chat',
    messages: readMessages(messages, 'messages'),
    ...(tools.length > 0 ? { tools } : {}),
  });
}

/** Definitions of functions as they are; none when absent. Throws RowError. */
export function readTools(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value) && value.every(isFields)) return value;
  throw new RowError(
    '"tools" is not a list of objects',
    'give "tools" as a list of function definitions',
  );
}

/** Messages with roles and text checked, order not yet. */
export function readMessages(values: readonly unknown[], field: string): ChatMessage[] {
  if (values.length > maxMessages) {
    throw new RowError(
      `"${field}" has ${values.length} entries; the limit is ${maxMessages}`,
      'split the conversation into several rows',
    );
  }
  return values.map((value, index) => readMessage(value, `${field}[${index}]`));
}

function readMessage(value: unknown, where: string): ChatMessage {
  if (!isFields(value)) {
    throw new RowError(
      `${where} is not an object`,
      'write each message as {"role": …, "content": …}',
    );
  }
  const role = readRole(value['role'], where);
  const calls = readToolCalls(value['tool_calls'], where);
  const content = readContent(value['content'], where, calls.length > 0);
  if (content.trim() === '' && calls.length === 0 && role !== 'tool') {
    throw new RowError(
      `${where} (${role}) has empty content`,
      'write its text or remove the message',
    );
  }
  const { name, weight } = value;
  const callId = value['tool_call_id'];
  return {
    role,
    content,
    ...(weight === undefined || weight === null ? {} : { weight: readWeight(weight, role, where) }),
    ...(typeof name === 'string' ? { name } : {}),
    ...(typeof callId === 'string' ? { tool_call_id: callId } : {}),
    ...(calls.length > 0 ? { tool_calls: calls } : {}),
  };
}

function readRole(value: unknown, where: string): MessageRole {
  const role = typeof value === 'string' && Object.hasOwn(roles, value) ? roles[value] : undefined;
  if (role) return role;
  const reason = value === undefined ? `${where} has no role` : `${where} has role ${quote(value)}`;
  throw new RowError(reason, 'use one of system, developer, user, assistant, tool');
}

function readContent(value: unknown, where: string, optional: boolean): string {
  if (typeof value === 'string') return value;
  if (optional && (value === undefined || value === null)) return '';
  if (!Array.isArray(value)) {
    throw new RowError(
      `${where}.content is ${value === undefined ? 'missing' : quote(value)}, not text`,
      'give content as a string',
    );
  }
  return value
    .map((part: unknown) => {
      if (isFields(part) && part['type'] === 'text' && typeof part['text'] === 'string') {
        return part['text'];
      }
      throw new RowError(
        `${where}.content has a part that is not text: ${quote(part)}`,
        'keep only parts of type "text"',
      );
    })
    .join('');
}

function readWeight(value: unknown, role: MessageRole, where: string): number {
  if (typeof value !== 'number' || !(value >= 0 && value <= 1)) {
    throw new RowError(`${where}.weight is ${quote(value)}`, 'use a number from 0 to 1');
  }
  if (role !== 'assistant') {
    throw new RowError(
      `${where}.weight stands on a ${role} message`,
      'weigh assistant messages only',
    );
  }
  return value;
}

function readToolCalls(value: unknown, where: string): ToolCall[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) {
    throw new RowError(`${where}.tool_calls is not a list`, 'give tool_calls as a list');
  }
  return value.map((call: unknown, index) => {
    const target = isFields(call) ? call['function'] : undefined;
    if (!isFields(call) || !isFields(target) || typeof target['name'] !== 'string') {
      throw new RowError(
        `${where}.tool_calls[${index}] has no function name`,
        'write it as {"id": …, "type": "function", "function": {"name": …, "arguments": …}}',
      );
    }
    const parsed = parseArguments(target['arguments'], `${where}.tool_calls[${index}]`);
    return {
      ...(typeof call['id'] === 'string' ? { id: call['id'] } : {}),
      type: 'function' as const,
      function: { name: target['name'], arguments: parsed },
    };
  });
}

function parseArguments(value: unknown, where: string): unknown {
  if (typeof value !== 'string') return value ?? {};
  try {
    return JSON.parse(value);
  } catch {
    throw new RowError(`${where} has arguments that are not JSON`, 'write the arguments as JSON');
  }
}

/** Order and completeness of a conversation: what any chat template needs. Throws RowError. */
export function checkConversation(example: ChatExample): ChatExample {
  const { messages } = example;
  if (messages.length === 0) {
    throw new RowError('there are no messages', 'give at least a user and an assistant message');
  }
  if (!messages.some(({ role }) => role === 'assistant')) {
    throw new RowError('there is no assistant message', 'add the answer that is to be learned');
  }
  messages.forEach(({ role }, index) => {
    const previous = messages[index - 1]?.role;
    if (role === 'system' && index > 0) {
      throw new RowError(`messages[${index}] is a system message`, 'put the system message first');
    }
    if (role === 'assistant' && (previous === undefined || previous === 'system')) {
      throw new RowError(
        `messages[${index}] is an assistant message before any user message`,
        'begin with a user message',
      );
    }
    if (role === 'tool' && previous !== 'tool' && !messages[index - 1]?.tool_calls) {
      throw new RowError(
        `messages[${index}] is a tool message without a tool call before it`,
        'let it follow an assistant message with tool_calls',
      );
    }
  });
  const last = messages.at(-1)?.role;
  if (last !== 'assistant') {
    throw new RowError(
      `the last message is from "${last}"`,
      'end with the assistant message that is to be learned',
    );
  }
  if (messages.every(({ role, weight }) => role !== 'assistant' || weight === 0)) {
    throw new RowError('every assistant message has weight 0', 'give one of them weight 1');
  }
  return example;
}
