// Which prompts the golden transcripts use: a few held-out rows and a few training rows, spread over the
// file, so that both what was learned and what was not is compared.
import type { ExampleStore } from '../data/data-set.ts';
import { conversationsOfPair } from '../data/encode.ts';
import type { ChatMessage, Example } from '../data/example.ts';
import { readRows } from '../data/rows.ts';
import type { GoldenPrompt } from '../output/golden.ts';
import type { RunData } from './load-data.ts';
import type { Run } from './run.ts';

/** Of the held-out and of the training rows. */
export const promptsOfEach = 4;
/** Characters of plain text that make a prompt; short enough for the smallest contexts. */
const textPromptLength = 40;

/** Rows with an example, each once: blocks of one text share theirs. */
function* distinct(rows: Iterable<number>): Generator<number> {
  let last: number | null = null;
  for (const row of rows) {
    if (row !== last) yield row;
    last = row;
  }
}

/** Every n-th of the rows of a store, at most `count`; goes through them twice, keeps none. */
function spread(store: ExampleStore, count: number): number[] {
  let total = 0;
  for (const _row of distinct(store.rows())) total += 1;
  const step = Math.max(1, total / count);
  const places = new Set(
    Array.from({ length: Math.min(count, total) }, (_, index) => Math.floor(index * step)),
  );
  const chosen: number[] = [];
  let place = 0;
  for (const row of distinct(store.rows())) {
    if (places.has(place)) chosen.push(row);
    place += 1;
  }
  return chosen;
}

/** A prompt: the conversation up to its last answer. Text is asked for as a user would quote it. */
function promptOf(row: Example): GoldenPrompt | null {
  const example = row.kind === 'preference' ? conversationsOfPair(row)[0] : row;
  if (example.kind === 'text') {
    const content = example.text.trim().slice(0, textPromptLength);
    return content === '' ? null : { messages: [{ role: 'user', content }], answer: '' };
  }
  const last = example.messages.findLastIndex(({ role }) => role === 'assistant');
  const plain = ({ role, content }: ChatMessage): ChatMessage => ({ role, content });
  const usesTools = example.tools ?? example.messages.some((message) => message.tool_calls);
  if (usesTools === true || Array.isArray(usesTools)) return null;
  return {
    messages: example.messages.slice(0, last).map(plain),
    answer: example.messages[last]?.content ?? '',
  };
}

async function collect(run: Run, path: string, wanted: readonly number[]): Promise<GoldenPrompt[]> {
  const rows = new Set(wanted);
  const prompts: GoldenPrompt[] = [];
  for await (const { row, example } of readRows(path, { format: run.config.data.format })) {
    const prompt = rows.has(row) && example ? promptOf(example) : null;
    if (prompt) prompts.push(prompt);
    if (prompts.length === rows.size) break;
  }
  return prompts;
}

/** Prompts for the golden transcripts of a run, validation rows first. */
export async function goldenPrompts(run: Run, data: RunData): Promise<GoldenPrompt[]> {
  const { train, validation } = run.config.data;
  const heldOutPath = typeof validation === 'number' ? train.path : validation.path;
  return [
    ...(await collect(run, heldOutPath, spread(data.validation, promptsOfEach))),
    ...(await collect(run, train.path, spread(data.train, promptsOfEach))),
  ];
}
