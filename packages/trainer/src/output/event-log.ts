// `events.jsonl`: every event of a run, one JSON object a line, over all its sittings. A resumed run
// cuts off what the checkpoint does not know, because those steps are computed again.
import { appendFileSync, mkdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunEvent } from '@corral/contracts';
import { writeFileAtomic } from './atomic-file.ts';

const eventLogPath = (output: string): string => join(output, 'events.jsonl');

/** Adds one event. Synchronous: a line is whole or, after a crash, cut (and then passed over). */
export function appendEvent(output: string, event: RunEvent): void {
  mkdirSync(output, { recursive: true });
  appendFileSync(eventLogPath(output), `${JSON.stringify(event)}\n`);
}

/** The same where nothing may fail any more: a full disk must not hide the error that is to be told. */
export function tryAppendEvent(output: string, event: RunEvent): void {
  try {
    appendEvent(output, event);
  } catch {
    // Standard output has it.
  }
}

const parse = (line: string): RunEvent[] => {
  try {
    return [JSON.parse(line) as RunEvent];
  } catch {
    // The last line of a killed process.
    return [];
  }
};

async function readLog(output: string): Promise<string> {
  try {
    return await readFile(eventLogPath(output), 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw error;
  }
}

const parseLog = (text: string): RunEvent[] =>
  text.split('\n').flatMap((line) => (line === '' ? [] : parse(line)));

/** All whole events; none when there is no log. */
export const readEvents = async (output: string): Promise<RunEvent[]> =>
  parseLog(await readLog(output));

const stepOf = (event: RunEvent): number =>
  'step' in event && typeof event.step === 'number' ? event.step : -1;

/** Removes events of steps after `step`, and the cut line of a killed process. */
export async function rewindEvents(output: string, step: number): Promise<void> {
  const text = await readLog(output);
  const kept = parseLog(text)
    .filter((event) => stepOf(event) <= step && event.type !== 'finished')
    .map((event) => `${JSON.stringify(event)}\n`)
    .join('');
  if (kept !== text) await writeFileAtomic(eventLogPath(output), kept);
}
