// One process at a time writes an output folder. The lock names its process and when that started, so
// that a number used again by a stranger after a crash does not hold it.
import { randomUUID } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CorralError } from '@corral/contracts';

/** A trainer whose parent died needs up to a step and a checkpoint to leave. */
const waitMilliseconds = 60_000;
const pollMilliseconds = 250;
const maxGivingWayMs = 10;

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

interface Owner {
  readonly pid: number;
  readonly start: string;
}

const self = (): Owner => ({ pid: process.pid, start: startOf(process.pid) });

const lives = ({ pid, start }: Owner): boolean => isAlive(pid) && startOf(pid) === start;

/** What the lock says; null when it is free. */
function readLock(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}

/** The process that holds a lock that says this; null when it is gone, or there is none. */
function holderIn(text: string | null): number | null {
  try {
    const owner = JSON.parse(text ?? '') as Owner;
    return lives(owner) ? owner.pid : null;
  } catch {
    return null;
  }
}

/** The lock is there, or what was written aside was cleared away by the one who has it now. */
const isTaken = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'EEXIST' || error.code === 'ENOENT');

const asidePrefix = '.lock.new-';

/** What processes left that died while they tried. */
function clearAside(folder: string): void {
  for (const name of readdirSync(folder)) {
    if (name.startsWith(asidePrefix)) rmSync(join(folder, name), { force: true });
  }
}

/** The lock appears with its content or not at all: written aside under a name of its own, then linked. */
function tryLock(folder: string, path: string): boolean {
  const aside = join(folder, `${asidePrefix}${randomUUID()}`);
  writeFileSync(aside, JSON.stringify(self()));
  try {
    linkSync(aside, path);
    clearAside(folder);
    return true;
  } catch (error) {
    if (isTaken(error)) return false;
    throw error;
  } finally {
    rmSync(aside, { force: true });
  }
}

const claimPattern = /^\.lock\.claim-(\d+)-(\d*)-/;

/** Others that are about to remove a stale lock; what the dead left of this is removed. */
function otherClaims(folder: string, own: string): string[] {
  return readdirSync(folder).filter((name) => {
    const match = claimPattern.exec(name);
    if (!match || name === own) return false;
    const alive = lives({ pid: Number(match[1]), start: match[2] ?? '' });
    if (!alive) rmSync(join(folder, name), { force: true });
    return alive;
  });
}

/**
 * Removes a lock whose holder is gone. Two that saw the same stale lock must not both remove it, or the second
 * would remove the first one's new lock: so each lays down a claim, looks for others, and with any other there
 * leaves it. Of two the later one sees the earlier one's claim, so at most one goes on.
 */
function removeStale(folder: string, path: string): void {
  const { pid, start } = self();
  const claim = `.lock.claim-${pid}-${start}-${randomUUID()}`;
  writeFileSync(join(folder, claim), '');
  try {
    if (otherClaims(folder, claim).length > 0) return;
    const text = readLock(path);
    // When it is free, who takes it now needs no claim: then there is nothing that may be removed.
    if (text !== null && holderIn(text) === null) rmSync(path, { force: true });
  } finally {
    rmSync(join(folder, claim), { force: true });
  }
}

export interface RunLock extends Disposable {
  /** Idempotent. */
  close(): void;
}

/** Takes the folder's lock, waiting for a process that is leaving. Throws CorralError `conflict`. */
export async function lockOutput(
  output: string,
  {
    waitMs = waitMilliseconds,
    pollMs = pollMilliseconds,
  }: { readonly waitMs?: number; readonly pollMs?: number } = {},
): Promise<RunLock> {
  mkdirSync(output, { recursive: true });
  const path = join(output, '.lock');
  const deadline = Date.now() + waitMs;
  while (!tryLock(output, path)) {
    const holder = holderIn(readLock(path));
    if (holder === null) {
      removeStale(output, path);
      // Several that give way to each other must not do it in step.
      await sleep(Math.random() * maxGivingWayMs);
    } else if (Date.now() >= deadline) {
      const reason = `Another training run (process ${holder}) writes to "${output}".`;
      throw new CorralError('conflict', { params: { reason } });
    } else {
      await sleep(pollMs);
    }
  }
  let held = true;
  const close = (): void => {
    if (held) rmSync(path, { force: true });
    held = false;
  };
  return { close, [Symbol.dispose]: close };
}
