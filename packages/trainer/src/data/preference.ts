// Preference pairs, one row: a prompt and two answers, the first preferred. Three spellings are read:
//  * OpenAI: {input: {messages, tools?}, preferred_output: [message], non_preferred_output: [message]}
//  * TRL: {prompt, chosen, rejected}, each a text or a list of messages
//  * {chosen, rejected} alone: conversations (lists, or texts with "\n\nHuman:" turns) with a common
//    beginning, which is the prompt
// What an answer is worth and how it is tokenised is not known here.
import { type Fields, checkConversation, isFields, readMessages, readTools } from './chat-row.ts';
import type { ChatMessage, PreferenceExample } from './example.ts';
import { RowError, quote } from './row-error.ts';

type Side = 'chosen' | 'rejected';
type Messages = readonly ChatMessage[];

/** Whether a row is a pair, whichever way it is spelt. */
export const looksLikePreference = (row: Fields): boolean =>
  'preferred_output' in row || ('chosen' in row && 'rejected' in row);

const textOf = (value: unknown, field: string): string => {
  if (typeof value === 'string' && value.trim() !== '') return value;
  const found = value === undefined ? 'missing' : quote(value);
  throw new RowError(`"${field}" is ${found}`, `give "${field}" as text or a list of messages`);
};

/** A list of messages of any field; a text becomes one message of `role`. */
function messagesOf(value: unknown, field: string, role: 'user' | 'assistant'): ChatMessage[] {
  if (Array.isArray(value)) return readMessages(value, field);
  if (isFields(value)) return readMessages([value], field);
  return [{ role, content: textOf(value, field) }];
}

function pairOf(
  prompt: Messages,
  answers: Record<Side, Messages>,
  tools: readonly unknown[],
): PreferenceExample {
  for (const side of ['chosen', 'rejected'] as const) {
    const answer = answers[side];
    if (answer[0]?.role !== 'assistant') {
      throw new RowError(
        `the ${side} answer begins with ${answer.length === 0 ? 'nothing' : `a message of "${answer[0]?.role}"`}`,
        'begin both answers with an assistant message',
      );
    }
    // A weight would have to hold for both answers alike; the answer is learned whole.
    checkConversation({ kind: 'chat', messages: [...prompt, ...answer.map(unweighted)] });
  }
  if (JSON.stringify(answers.chosen) === JSON.stringify(answers.rejected)) {
    throw new RowError('both answers are the same', 'give two different answers or remove the row');
  }
  return {
    kind: 'preference',
    prompt: prompt.map(unweighted),
    chosen: answers.chosen.map(unweighted),
    rejected: answers.rejected.map(unweighted),
    ...(tools.length > 0 ? { tools } : {}),
  };
}

const unweighted = ({ weight: _weight, ...message }: ChatMessage): ChatMessage => message;

function readOpenAi(row: Fields): PreferenceExample {
  const { input, preferred_output: preferred, non_preferred_output: other } = row;
  if (!isFields(input)) {
    throw new RowError('"input" is missing or no object', 'give "input" as {"messages": [...]}');
  }
  if (!Array.isArray(input['messages'])) {
    throw new RowError('"input.messages" is missing or no list', 'give the prompt as messages');
  }
  return pairOf(
    readMessages(input['messages'], 'input.messages'),
    {
      chosen: messagesOf(preferred, 'preferred_output', 'assistant'),
      rejected: messagesOf(other, 'non_preferred_output', 'assistant'),
    },
    readTools(input['tools']),
  );
}

function readWithPrompt(row: Fields): PreferenceExample {
  const system = typeof row['system'] === 'string' && row['system'] !== '' ? row['system'] : null;
  const prompt = messagesOf(row['prompt'], 'prompt', 'user');
  const opening = system === null ? [] : [{ role: 'system' as const, content: system }];
  const answers = {
    chosen: messagesOf(row['chosen'], 'chosen', 'assistant'),
    rejected: messagesOf(row['rejected'], 'rejected', 'assistant'),
  };
  const whole = [...opening, ...prompt];
  // Some exports repeat the prompt inside both answers.
  const repeats = Object.values(answers).every(
    (answer) => answer.length > prompt.length && commonLength(prompt, answer) === prompt.length,
  );
  return pairOf(
    whole,
    repeats
      ? {
          chosen: answers.chosen.slice(prompt.length),
          rejected: answers.rejected.slice(prompt.length),
        }
      : answers,
    readTools(row['tools']),
  );
}

/** Number of messages that two conversations begin with alike. */
function commonLength(a: Messages, b: Messages): number {
  const differs = a.findIndex(
    (message, index) => JSON.stringify(message) !== JSON.stringify(b[index]),
  );
  return differs < 0 ? a.length : differs;
}

const speakers: Readonly<Record<string, ChatMessage['role']>> = {
  Human: 'user',
  Assistant: 'assistant',
};

/** "\n\nHuman: …\n\nAssistant: …" as messages (Anthropic's HH-RLHF); null for other text. */
function readDialogue(text: string): ChatMessage[] | null {
  const parts = text.split(/(?:^|\n\n)(Human|Assistant): ?/);
  if (parts.length < 5 || parts[0]?.trim() !== '') return null;
  const messages: ChatMessage[] = [];
  for (let at = 1; at < parts.length; at += 2) {
    const role = speakers[parts[at] ?? ''] ?? 'user';
    const content = parts[at + 1]?.trim() ?? '';
    if (content === '') throw new RowError(`a turn of ${role} is empty`, 'write its text');
    messages.push({ role, content });
  }
  return messages;
}

function conversationOf(row: Fields, side: Side): ChatMessage[] {
  const value = row[side];
  if (Array.isArray(value)) return readMessages(value, side);
  const dialogue = readDialogue(textOf(value, side));
  if (dialogue) return dialogue;
  throw new RowError(
    `"${side}" is a text and there is no "prompt"`,
    'add "prompt", or give both answers as lists of messages with a common beginning',
  );
}

function readCommonPrefix(row: Fields): PreferenceExample {
  const chosen = conversationOf(row, 'chosen');
  const rejected = conversationOf(row, 'rejected');
  // The answers begin at the last assistant turn that both have room for, not inside the prompt.
  const shared = Math.min(commonLength(chosen, rejected), chosen.length - 1, rejected.length - 1);
  let length = shared;
  while (length > 0 && chosen[length]?.role !== 'assistant') length -= 1;
  if (length === 0) {
    throw new RowError(
      'the two answers have no common beginning',
      'add "prompt", or begin both with the same messages',
    );
  }
  return pairOf(
    chosen.slice(0, length),
    { chosen: chosen.slice(length), rejected: rejected.slice(length) },
    readTools(row['tools']),
  );
}

/** Checks a row that is a pair. Throws RowError. */
export function readPreference(row: Fields): PreferenceExample {
  if ('preferred_output' in row || 'non_preferred_output' in row) return readOpenAi(row);
  return row['prompt'] === undefined || row['prompt'] === null
    ? readCommonPrefix(row)
    : readWithPrompt(row);
}
