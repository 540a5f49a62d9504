// The file formats of training data as one table: which row belongs to which, and how a row becomes an
// Example. A prompt/completion or Alpaca row becomes one user and one assistant turn, because the model
// is served through its chat template.
import type { RunConfig } from '@corral/contracts';
import { type Fields, checkConversation, isFields, readChatRow, readMessages } from './chat-row.ts';
import type { ChatMessage, Example } from './example.ts';
import { looksLikePreference, readPreference } from './preference.ts';
import { RowError, quote } from './row-error.ts';
import { readShareGpt } from './sharegpt-row.ts';

export type DataFormat = Exclude<RunConfig['data']['format'], 'auto'>;

interface FormatDefinition {
  /** Whether a row of JSONL looks like this format. */
  readonly matches: (row: Fields) => boolean;
  /** Checks a row and turns it into an example. Throws RowError. */
  readonly read: (row: Fields) => Example;
}

const text = (row: Fields, field: string): string => {
  const value = row[field];
  if (typeof value === 'string' && value.trim() !== '') return value;
  if (value === undefined) throw new RowError(`"${field}" is missing`, `add "${field}"`);
  if (typeof value === 'string') throw new RowError(`"${field}" is empty`, `write its text`);
  throw new RowError(`"${field}" is ${quote(value)}, not text`, `give "${field}" as a string`);
};

const turns = (row: Fields, user: string, assistant: string): ChatMessage[] => {
  const system = typeof row['system'] === 'string' && row['system'] !== '' ? row['system'] : null;
  return [
    ...(system === null ? [] : [{ role: 'system' as const, content: system }]),
    { role: 'user', content: user },
    { role: 'assistant', content: assistant },
  ];
};

function readCompletion(row: Fields): Example {
  const { prompt, completion } = row;
  if (Array.isArray(prompt) && Array.isArray(completion)) {
    const before = readMessages(prompt, 'prompt').map((message) =>
      message.role === 'assistant' ? { ...message, weight: 0 } : message,
    );
    return checkConversation({
      kind: 'chat',
      messages: [...before, ...readMessages(completion, 'completion')],
    });
  }
  return { kind: 'chat', messages: turns(row, text(row, 'prompt'), text(row, 'completion')) };
}

/** Earlier turns of an Alpaca row: pairs of question and answer. */
function readHistory(value: unknown): ChatMessage[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new RowError('"history" is no list', 'give pairs of texts');
  return value.flatMap((turn: unknown, index): ChatMessage[] => {
    const [question, answer]: unknown[] = Array.isArray(turn) ? turn : [];
    if (typeof question !== 'string' || typeof answer !== 'string') {
      throw new RowError(`history[${index}] is ${quote(turn)}`, 'write [question, answer]');
    }
    return [
      { role: 'user', content: question },
      { role: 'assistant', content: answer },
    ];
  });
}

function readAlpaca(row: Fields): Example {
  const { input } = row;
  if (input !== undefined && input !== null && typeof input !== 'string') {
    throw new RowError(`"input" is ${quote(input)}, not text`, 'give "input" as a string');
  }
  const instruction = text(row, 'instruction');
  const question = input ? `${instruction}\n\n${input}` : instruction;
  const [first, ...rest] = turns(row, question, text(row, 'output'));
  const history = readHistory(row['history']);
  const messages =
    first?.role === 'system' ? [first, ...history, ...rest] : [...history, first, ...rest];
  return { kind: 'chat', messages: messages.flatMap((message) => message ?? []) };
}

const formatTable = {
  chat: { matches: (row) => 'messages' in row, read: readChatRow },
  sharegpt: { matches: (row) => 'conversations' in row, read: readShareGpt },
  completion: { matches: (row) => 'prompt' in row && 'completion' in row, read: readCompletion },
  alpaca: { matches: (row) => 'instruction' in row, read: readAlpaca },
  preference: { matches: looksLikePreference, read: readPreference },
  text: {
    matches: (row) => 'text' in row,
    read: (row) => ({ kind: 'text', text: text(row, 'text') }),
  },
} as const satisfies Record<DataFormat, FormatDefinition>;

const knownShapes =
  'use rows with "messages", "prompt" and "completion", "instruction" and "output", "conversations", "chosen" and "rejected", or "text"';

/** Columns that any format reads: what is decoded of a Parquet file. */
export const dataColumns: readonly string[] = [
  'messages',
  'conversations',
  'tools',
  'system',
  'prompt',
  'completion',
  'instruction',
  'input',
  'output',
  'history',
  'text',
  'chosen',
  'rejected',
  'preferred_output',
  'non_preferred_output',
];

/** Arguments of tools nest some levels; deeper values are made to exhaust stacks. */
const maxDepth = 64;

function checkDepth(value: unknown, left = maxDepth): void {
  if (typeof value !== 'object' || value === null) return;
  if (left === 0) throw new RowError(`it nests deeper than ${maxDepth}`, 'write it flatter');
  for (const entry of Object.values(value)) checkDepth(entry, left - 1);
}

/** Parses one row of JSON into its fields. Throws RowError. */
export function parseRow(line: string): Fields {
  if (line.trim() === '') throw new RowError('the row is empty', 'remove it');
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new RowError(`not JSON: ${why}`, 'write one JSON object on each line');
  }
  if (!isFields(value)) {
    throw new RowError(`${quote(value)} is not an object`, 'write one JSON object on each line');
  }
  return value;
}

/** The format of a row by its keys; null when none fits. */
export function detectFormat(row: Fields): DataFormat | null {
  const entries = Object.entries(formatTable) as [DataFormat, FormatDefinition][];
  return entries.find(([, definition]) => definition.matches(row))?.[0] ?? null;
}

/** Reads a row as `format`, or as what it looks like. Throws RowError. */
export function readExample(row: Fields, format: DataFormat | null): Example {
  checkDepth(row);
  const chosen = format ?? detectFormat(row);
  if (chosen === null) {
    const keys = Object.keys(row).slice(0, 6).join(', ');
    throw new RowError(`no known format has the keys {${keys}}`, knownShapes);
  }
  return formatTable[chosen].read(row);
}
