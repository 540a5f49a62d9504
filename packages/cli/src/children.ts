// Child processes with an owner: whatever is still running when the owner closes is asked to end and,
// when it does not, is killed. Knows neither servers nor trainers.
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';

interface SpawnOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly stdio?: StdioOptions;
  readonly cwd?: string;
  /** How long the child may take to end by itself once asked. */
  readonly graceMs?: number;
}

interface ExitStatus {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Child {
  readonly process: ChildProcess;
  /** Resolves when the process is gone, also when it never started (code null, signal null). */
  readonly exited: Promise<ExitStatus>;
  readonly running: boolean;
  /** SIGTERM, then SIGKILL after the grace. Idempotent. */
  close(): Promise<void>;
  /** Lets it outlive us. */
  release(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface Children {
  spawn(command: string, args: readonly string[], options?: SpawnOptions): Child;
  /** Closes every child, all at once. */
  close(): Promise<void>;
  /** Kills every child without asking: the last resort of a second Ctrl-C. */
  kill(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

const defaultGraceMs = 10_000;

function own(child: ChildProcess, graceMs: number): Child {
  let running = true;
  const exited = new Promise<ExitStatus>((resolve) => {
    const end = (status: ExitStatus) => {
      running = false;
      resolve(status);
    };
    child.once('error', () => end({ code: null, signal: null }));
    child.once('exit', (code, signal) => end({ code, signal }));
  });
  let closing: Promise<void> | null = null;
  const close = () => {
    closing ??= (async () => {
      if (!running) return;
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
      await exited;
      clearTimeout(timer);
    })();
    return closing;
  };
  return {
    process: child,
    exited,
    get running() {
      return running;
    },
    close,
    release() {
      closing ??= Promise.resolve();
      child.unref();
    },
    [Symbol.asyncDispose]: close,
  };
}

export function createChildren(): Children {
  const all = new Set<Child>();
  const close = async () => {
    await Promise.all([...all].map((child) => child.close()));
  };
  return {
    spawn(command, args, options = {}) {
      const { env = process.env, stdio = 'pipe', graceMs = defaultGraceMs } = options;
      const { cwd } = options;
      // In a session of its own: a Ctrl-C of the terminal reaches it once, through us, and not twice,
      // which servers and trainers take for impatience. (On Windows it would open a window.)
      const detached = process.platform !== 'win32';
      const child = own(
        spawn(command, [...args], { env, stdio, detached, ...(cwd !== undefined && { cwd }) }),
        graceMs,
      );
      all.add(child);
      void child.exited.then(() => all.delete(child));
      return child;
    },
    close,
    kill() {
      for (const child of all) child.process.kill('SIGKILL');
    },
    [Symbol.asyncDispose]: close,
  };
}
