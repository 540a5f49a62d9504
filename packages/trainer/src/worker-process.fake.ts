// Starts the worker as a process for tests and listens to it.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { RunEvent } from '@corral/contracts';

const worker = fileURLToPath(new URL('worker.ts', import.meta.url));

export interface WorkerResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly events: RunEvent[];
  readonly stderr: string;
}

export interface StartOptions {
  readonly onEvent?: (event: RunEvent, child: ChildProcess) => void;
  readonly env?: Record<string, string>;
  /** Largest file that the process may write, KiB; a write beyond it fails as on a full disk. */
  readonly maxFileKiB?: number;
}

function spawnWorker(args: readonly string[], { env, maxFileKiB }: StartOptions): ChildProcess {
  const command = [process.execPath, worker, ...args];
  const options = { env: { ...process.env, ...env } };
  if (maxFileKiB === undefined) return spawn(process.execPath, command.slice(1), options);
  // With the signal ignored the write fails with EFBIG instead of killing the process.
  const script = `trap '' XFSZ; ulimit -f ${maxFileKiB}; exec "$@"`;
  return spawn('bash', ['-c', script, 'bash', ...command], options);
}

/** Runs the worker to its end. */
export async function startWorker(
  args: readonly string[],
  options: StartOptions = {},
): Promise<WorkerResult> {
  const child = spawnWorker(args, options);
  const events: RunEvent[] = [];
  let rest = '';
  let stderr = '';
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdout?.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const event = JSON.parse(line) as RunEvent;
      events.push(event);
      options.onEvent?.(event, child);
    }
  });
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  return { code, signal, events, stderr };
}
