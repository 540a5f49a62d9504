// The trainer as a child process of the command line: a configuration in, JSON lines out. Works without
// a server. Knows the trainer's protocol (contracts: run events, exit codes) and nothing of its inside.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import {
  CorralError,
  fromErrorPayload,
  trainerExitCodes,
  type ErrorPayload,
  type ExportConfigInput,
  type ExportResult,
  type RunConfigInput,
} from '@corral/contracts';
import type { Context } from './context.ts';
import { CommandError, reportDefect } from './failures.ts';

const worker = (): string => fileURLToPath(import.meta.resolve('@corral/trainer/worker'));
// A run writes a checkpoint when it is asked to end: it may take a while on a slow disk.
const graceMs = 20_000;
const keptErrorLines = 20;

interface FailedLine {
  readonly type: 'failed';
  readonly error: ErrorPayload;
}
const isFailed = (line: unknown): line is FailedLine =>
  typeof line === 'object' && line !== null && 'type' in line && line.type === 'failed';

/**
 * Runs the trainer's worker. `onLine` sees every object it prints; its words on stderr are kept for the
 * case that it dies without saying why. @returns the exit code. @throws the CorralError it reported.
 */
export async function runTrainer(
  context: Pick<Context, 'children' | 'signal'>,
  args: readonly string[],
  onLine: (line: unknown) => void,
): Promise<number> {
  const child = context.children.spawn(process.execPath, [worker(), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    graceMs,
  });
  const { stdout, stderr } = child.process;
  if (stdout === null || stderr === null) throw new Error('the trainer has no pipes');
  const stop = () => void child.close();
  context.signal.addEventListener('abort', stop, { once: true });
  if (context.signal.aborted) stop();
  const lastWords: string[] = [];
  createInterface({ input: stderr }).on('line', (line) => {
    lastWords.push(line);
    if (lastWords.length > keptErrorLines) lastWords.shift();
  });
  let failed: ErrorPayload | null = null;
  let heard = false;
  for await (const text of createInterface({ input: stdout })) {
    const line = parseLine(text);
    if (isFailed(line)) failed = line.error;
    if (line === undefined) continue;
    heard = true;
    onLine(line);
  }
  const { code, signal } = await child.exited;
  context.signal.removeEventListener('abort', stop);
  if (context.signal.aborted) throw new CorralError('cancelled');
  if (failed) throw explain(failed);
  if (signal !== null || code === null) {
    const how = signal === null ? 'could not be started' : `was ended by ${signal}`;
    throw new CorralError('training_failed', {
      params: { reason: `the trainer ${how}`, job: '-' },
    });
  }
  if (code === trainerExitCodes.misuse) {
    throw new CommandError(
      lastWords.join('\n') || 'The trainer refused its arguments.',
      'Check the configuration.',
    );
  }
  if (code !== trainerExitCodes.finished && !heard) {
    throw new CommandError(
      `The trainer ended without a word on its output: ${lastWords.slice(-3).join(' | ')}`,
      reportDefect,
    );
  }
  return code;
}

/** An error that the trainer has no name for is told in its own words: there is no server log to look into. */
function explain(failed: ErrorPayload): Error {
  const reason = failed.code === 'internal_error' ? failed.details?.['reason'] : undefined;
  if (typeof reason !== 'string') return fromErrorPayload(failed);
  return new CommandError(`The trainer failed: ${reason}`, reportDefect, failed.code);
}

function parseLine(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // A native library may print a line of its own; it is not ours to understand.
    return undefined;
  }
}

/** A configuration as a file for as long as `use` takes. */
async function withConfig<T>(config: object, use: (path: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'corral-'));
  try {
    const path = join(folder, 'config.json');
    await writeFile(path, JSON.stringify(config));
    return await use(path);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const noAnswer = (question: string): CommandError =>
  new CommandError(`The trainer gave no answer to "${question}".`, 'Run "corral doctor".');

/** Asks one question (`check`, `preview`, `plan`) about a configuration. @returns the answer's object. */
export const askTrainer = <T>(
  context: Pick<Context, 'children' | 'signal'>,
  question: 'check' | 'preview' | 'plan',
  config: RunConfigInput,
  extra: readonly string[] = [],
): Promise<T> =>
  withConfig(config, async (path) => {
    let answer: T | undefined;
    await runTrainer(context, [question, '--config', path, ...extra], (line) => {
      answer ??= line as T;
    });
    if (answer !== undefined) return answer;
    throw noAnswer(question);
  });

interface PhaseLine {
  readonly type: 'phase';
  readonly name: string;
  readonly done: number;
  readonly total: number;
}

/** Writes a model in another form. @throws the CorralError that the trainer reported. */
export const exportByTrainer = (
  context: Pick<Context, 'children' | 'signal'>,
  config: ExportConfigInput,
  onPhase: (phase: PhaseLine) => void,
): Promise<ExportResult> =>
  withConfig(config, async (path) => {
    let result: ExportResult | undefined;
    await runTrainer(context, ['export', '--config', path], (value) => {
      const line = value as PhaseLine | ExportResult;
      if (line.type === 'phase') onPhase(line);
      else if (line.type === 'exported') result = line;
    });
    if (result !== undefined) return result;
    throw noAnswer('export');
  });
