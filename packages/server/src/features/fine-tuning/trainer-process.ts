// The trainer's worker as a child process: what it is asked, what it says, how it is stopped. It runs in its
// own process group, so that a Ctrl-C reaches it only through us, and holds the other end of a pipe on its
// standard input, so that it notices when we die.
import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import {
  CorralError,
  errorCodes,
  fromErrorPayload,
  runEventSchema,
  trainerExitCodes,
  type DataReport,
  type ExportResult,
  type RunEvent,
} from '@corral/contracts';
import { childEnvironment } from '../../child-environment.ts';

export type TrainingEnd =
  | { readonly kind: 'finished' }
  | { readonly kind: 'paused' }
  /** The trainer said why. */
  | { readonly kind: 'failed'; readonly error: CorralError }
  /** Killed, crashed, out of memory: worth another try. */
  | { readonly kind: 'died'; readonly reason: string };

/** The data check's process ended without an answer. */
export class TrainerDied extends Error {
  override readonly name = 'TrainerDied';
}

export interface TrainingProcess {
  readonly pid: number;
  readonly ended: Promise<TrainingEnd>;
  /** Asks for a checkpoint and the end (SIGTERM); kills after `graceSeconds`. Idempotent. */
  stop(graceSeconds: number): void;
}

export interface Trainer {
  /** Reads the data as a run would. Throws what the worker reports, `cancelled`, or TrainerDied. */
  check(options: { config: string; preview: number; signal: AbortSignal }): Promise<DataReport>;
  /** Writes a model in another form. Throws what the worker reports, `cancelled`, or TrainerDied. */
  export(options: {
    config: string;
    signal: AbortSignal;
    onPhase: (phase: string, done: number, total: number) => void;
  }): Promise<ExportResult>;
  train(options: {
    config: string;
    output: string;
    /** Its standard error, appended. */
    log: string;
    onEvent: (event: RunEvent) => void;
  }): TrainingProcess;
}

/** More than any event; a line beyond it is no event. */
const maxLineBytes = 8 * 1024 * 1024;
const keptErrorBytes = 4096;

export const defaultTrainerEntry = (): string =>
  fileURLToPath(import.meta.resolve('@corral/trainer/worker'));

export function createTrainer({ entry }: { entry: string }): Trainer {
  const start = (args: readonly string[]): ChildProcess =>
    spawn(process.execPath, [entry, ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
      // It watches that pipe: the end of its standard input is our death.
      env: childEnvironment({ CORRAL_PARENT: 'pipe' }),
      detached: process.platform !== 'win32',
    });

  return {
    async check({ config, preview, signal }) {
      const child = start(['check', '--config', config, '--preview', String(preview)]);
      const exited = exitOf(child);
      const cancel = (): void => void child.kill('SIGKILL');
      signal.addEventListener('abort', cancel, { once: true });
      const lines: string[] = [];
      const stderr = lastOf(child);
      for await (const line of linesOf(child)) lines.push(line);
      const { code, error } = await exited;
      signal.removeEventListener('abort', cancel);
      if (signal.aborted) throw new CorralError('cancelled');
      if (error !== null) throw new TrainerDied(`the data check did not start: ${error.message}`);
      return readReport(lines, code, stderr());
    },
    async export({ config, signal, onPhase }) {
      const child = start(['export', '--config', config]);
      const stop = (): void => void child.kill('SIGTERM');
      signal.addEventListener('abort', stop, { once: true });
      try {
        return await followExport(child, onPhase);
      } catch (error) {
        if (signal.aborted) throw new CorralError('cancelled', { cause: error });
        throw error;
      } finally {
        signal.removeEventListener('abort', stop);
      }
    },
    train({ config, output, log, onEvent }) {
      const child = start(['train', '--config', config, '--output', output]);
      const stderr = lastOf(child);
      // A log that cannot be written (a full disk) costs its lines, not the run.
      const file = createWriteStream(log, { flags: 'a', mode: 0o600 });
      file.on('error', () => child.stderr?.resume());
      child.stderr?.pipe(file);
      let killer: NodeJS.Timeout | null = null;
      const ended = follow(child, onEvent, stderr).finally(() => {
        if (killer !== null) clearTimeout(killer);
      });
      return {
        pid: child.pid ?? -1,
        ended,
        stop(graceSeconds) {
          if (killer !== null || child.exitCode !== null || child.signalCode !== null) return;
          child.kill('SIGTERM');
          killer = setTimeout(() => child.kill('SIGKILL'), graceSeconds * 1000);
        },
      };
    },
  };
}

async function follow(
  child: ChildProcess,
  onEvent: (event: RunEvent) => void,
  stderr: () => string,
): Promise<TrainingEnd> {
  const exited = exitOf(child);
  let failure: CorralError | null = null;
  for await (const line of linesOf(child)) {
    const event = parseEvent(line);
    if (event === null) continue;
    if (event.type === 'failed') failure = errorOf(event);
    onEvent(event);
  }
  const { code, signal, error } = await exited;
  if (error !== null) return { kind: 'died', reason: error.message };
  if (code === trainerExitCodes.finished) return { kind: 'finished' };
  if (code === trainerExitCodes.paused) return { kind: 'paused' };
  if (failure !== null) return { kind: 'failed', error: failure };
  return {
    kind: 'died',
    reason: `it ended with ${signal ?? `exit code ${code}`}${stderr() === '' ? '' : `: ${stderr()}`}`,
  };
}

async function followExport(
  child: ChildProcess,
  onPhase: (phase: string, done: number, total: number) => void,
): Promise<ExportResult> {
  const exited = exitOf(child);
  const stderr = lastOf(child);
  let result: ExportResult | null = null;
  let failure: CorralError | null = null;
  for await (const text of linesOf(child)) {
    const event = parseEvent(text);
    if (event?.type === 'phase') onPhase(event.name, event.done, event.total);
    else if (event?.type === 'failed') failure = errorOf(event);
    // Our own child's answer, as that of a check.
    else if (text.startsWith('{"type":"exported"')) result = JSON.parse(text) as ExportResult;
  }
  const { code, error } = await exited;
  if (failure !== null) throw failure;
  if (result !== null) return result;
  throw new TrainerDied(`the export ended with code ${error?.message ?? code}: ${stderr()}`);
}

function errorOf({ error }: Extract<RunEvent, { type: 'failed' }>): CorralError {
  // A worker of another version may know codes that we do not.
  if (errorCodes.includes(error.code)) return fromErrorPayload(error);
  return new CorralError('training_failed', { params: { reason: String(error.code), job: '' } });
}

/** Null for what is no event: a library that prints to standard output must not end a run. */
function parseEvent(line: string): RunEvent | null {
  if (!line.startsWith('{')) return null;
  try {
    const parsed = runEventSchema.safeParse(JSON.parse(line));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

function readReport(lines: readonly string[], code: number | null, stderr: string): DataReport {
  for (const line of lines.toReversed()) {
    if (!line.startsWith('{')) continue;
    const value = JSON.parse(line) as Record<string, unknown>;
    const event = parseEvent(line);
    if (event?.type === 'failed') throw errorOf(event);
    // Our own child's answer: trusted to be what the contract says.
    if ('error_count' in value) return value as unknown as DataReport;
  }
  throw new TrainerDied(`the data check ended with code ${code}: ${stderr}`);
}

async function* linesOf(child: ChildProcess): AsyncIterable<string> {
  if (child.stdout === null) return;
  for await (const line of createInterface({ input: child.stdout, crlfDelay: Infinity }))
    if (line.length <= maxLineBytes) yield line;
}

const exitOf = (
  child: ChildProcess,
): Promise<{ code: number | null; signal: NodeJS.Signals | null; error: Error | null }> =>
  new Promise((resolve) => {
    child.once('error', (error) => resolve({ code: null, signal: null, error }));
    child.once('close', (code, signal) => resolve({ code, signal, error: null }));
    // Its pipe breaks when it ends before us; the exit says so already.
    child.stdin?.on('error', () => undefined);
  });

/** The last words on standard error, for an error message. */
function lastOf(child: ChildProcess): () => string {
  let text = '';
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    text = (text + chunk).slice(-keptErrorBytes);
  });
  return () => text.trim().split('\n').slice(-5).join('\n');
}
