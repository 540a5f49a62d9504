// ShareGPT, one row: "conversations" of {from, value}, with the speakers that its many exports use, and
// calls of tools as text, as LLaMA-Factory writes them.
import { type Fields, checkConversation, isFields, readTools } from './chat-row.ts';
import type { ChatExample, ChatMessage, ToolCall } from './example.ts';
import { RowError, quote } from './row-error.ts';

type Speaker = ChatMessage['role'] | 'call';

const speakers: Readonly<Record<string, Speaker>> = {
  human: 'user',
  user: 'user',
  gpt: 'assistant',
  chatgpt: 'assistant',
  bard: 'assistant',
  bing: 'assistant',
  assistant: 'assistant',
  model: 'assistant',
  system: 'system',
  tool: 'tool',
  observation: 'tool',
  function_response: 'tool',
  function_call: 'call',
  tool_call: 'call',
};

const known = 'use one of system, human, gpt, tool, function_call, observation';

/** {"name", "arguments"} or a list of them, as JSON text. */
function readCalls(value: string, where: string): ToolCall[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(value);
  } catch {
    throw new RowError(`${where}.value is not JSON`, 'write {"name": …, "arguments": …}');
  }
  return (Array.isArray(parsed) ? parsed : [parsed]).map((call: unknown): ToolCall => {
    if (!isFields(call) || typeof call['name'] !== 'string') {
      throw new RowError(`${where} calls no function`, 'write {"name": …, "arguments": …}');
    }
    return {
      type: 'function',
      function: { name: call['name'], arguments: call['arguments'] ?? {} },
    };
  });
}

function readTurn(turn: unknown, where: string): ChatMessage {
  if (!isFields(turn)) throw new RowError(`${where} is not an object`, 'write {from, value}');
  const from = turn['from'] ?? turn['role'];
  const value = turn['value'] ?? turn['content'];
  const speaker =
    typeof from === 'string' && Object.hasOwn(speakers, from) ? speakers[from] : undefined;
  if (!speaker) throw new RowError(`${where}.from is ${quote(from)}`, known);
  if (typeof value !== 'string' || (value.trim() === '' && speaker !== 'tool')) {
    throw new RowError(`${where}.value is ${quote(value)}`, 'write its text');
  }
  if (speaker !== 'call') return { role: speaker, content: value };
  return { role: 'assistant', content: '', tool_calls: readCalls(value, where) };
}

/** Definitions of tools as a list or as its JSON text. */
function readToolText(value: unknown): readonly unknown[] {
  if (typeof value !== 'string' || value.trim() === '') return readTools(value || null);
  try {
    return readTools(JSON.parse(value));
  } catch (error) {
    if (error instanceof RowError) throw error;
    throw new RowError('"tools" is not JSON', 'give "tools" as a list of function definitions');
  }
}

/** Checks one row. Throws RowError. */
export function readShareGpt(row: Fields): ChatExample {
  const { conversations, system } = row;
  if (!Array.isArray(conversations)) {
    throw new RowError('"conversations" is not a list', 'give it as a list of {from, value}');
  }
  const turns = conversations.map((turn: unknown, index) =>
    readTurn(turn, `conversations[${index}]`),
  );
  const opening: ChatMessage[] =
    typeof system === 'string' && system !== '' && turns[0]?.role !== 'system'
      ? [{ role: 'system', content: system }]
      : [];
  const tools = readToolText(row['tools']);
  return checkConversation({
    kind: 'chat',
    messages: [...opening, ...turns],
    ...(tools.length > 0 ? { tools } : {}),
  });
}
