// One process at a time writes an output folder. The lock names its process and when that started, so
// that a number used again by a stranger after a crash does not hold it.
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CorralError } from '@corral/contracts';

/** A trainer whose parent died needs up to a step and a checkpoint to leave. */
const waitMilliseconds = 60_000;
const pollMilliseconds = 250;

/** Start time of a process in clock ticks since boot (field 22 of /proc/PID/stat); '' elsewhere. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** The process that holds the lock; null when it is free or its holder is gone. */
function holderOf(path: string): number | null {
  try {
    const { pid, start } = JSON.parse(readFileSync(path, 'utf8')) as { pid: number; start: string };
    return isAlive(pid) && startOf(pid) === start ? pid : null;
  } catch {
    return null;
  }
}

function tryLock(path: string): boolean {
  try {
    const file = openSync(path, 'wx');
    writeSync(file, JSON.stringify({ pid: process.pid, start: startOf(process.pid) }));
    closeSync(file);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

export interface RunLock extends Disposable {
  /** Idempotent. */
  close(): void;
}

/** Takes the folder's lock, waiting for a process that is leaving. Throws CorralError `conflict`. */
export async function lockOutput(
  output: string,
  { waitMs = waitMilliseconds }: { readonly waitMs?: number } = {},
): Promise<RunLock> {
  mkdirSync(output, { recursive: true });
  const path = join(output, '.lock');
  const deadline = Date.now() + waitMs;
  while (!tryLock(path)) {
    const holder = holderOf(path);
    if (holder === null) {
      rmSync(path, { force: true });
    } else if (Date.now() >= deadline) {
      const reason = `Another training run (process ${holder}) writes to "${output}".`;
      throw new CorralError('conflict', { params: { reason } });
    } else {
      await sleep(pollMilliseconds);
    }
  }
  let held = true;
  const close = (): void => {
    if (held) rmSync(path, { force: true });
    held = false;
  };
  return { close, [Symbol.dispose]: close };
}
