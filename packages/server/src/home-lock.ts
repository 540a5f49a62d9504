// One server for one CORRAL_HOME: a lock file that names its holder by process id and start time, so that
// a reused process id is not taken for the holder. Created whole (written aside, then linked), so that
// nobody reads half of it. A live lock is never taken; a stale one is, under a second, short-lived lock.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { link, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { CorralError } from '@corral/contracts';
import { z } from 'zod';

const holderSchema = z.object({ pid: z.int(), started: z.string().nullable() });
type Holder = z.infer<typeof holderSchema>;

export interface Lock {
  /** Idempotent. */
  release(): Promise<void>;
}

/** Seconds after which a half-done take-over may be started again by someone else. */
const takeOverSeconds = 10;

/** Throws `home_in_use`, with the holder's pid, while a live process holds the lock. */
export async function acquireLock(path: string): Promise<Lock> {
  const own: Holder = { pid: process.pid, started: startTime(process.pid) };
  const content = JSON.stringify({ ...own, id: randomUUID() });
  const aside = `${path}.${randomUUID()}`;
  await writeFile(aside, content, { mode: 0o600, flag: 'wx' });
  try {
    while (!(await linkIfFree(aside, path))) await removeIfStale(path);
  } finally {
    await rm(aside, { force: true });
  }
  return {
    async release() {
      // Only ours: a home that was moved or wiped may carry another's by now.
      if ((await readIfThere(path)) === content) await rm(path, { force: true });
    },
  };
}

async function linkIfFree(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function removeIfStale(path: string): Promise<void> {
  const guard = `${path}.takeover`;
  try {
    await writeFile(guard, String(process.pid), { flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    const age = await stat(guard).catch(() => null);
    if (age !== null && Date.now() - age.mtimeMs > takeOverSeconds * 1000)
      await rm(guard, { force: true });
    await sleep(50);
    return;
  }
  try {
    const text = await readIfThere(path);
    if (text === null) return;
    const holder = parseHolder(text);
    if (holder !== null && isHolding(holder))
      throw new CorralError('home_in_use', {
        params: { pid: holder.pid, home: path.replace(/[/\\][^/\\]*$/, '') },
      });
    await rm(path, { force: true });
  } finally {
    await rm(guard, { force: true });
  }
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

function parseHolder(text: string): Holder | null {
  try {
    return holderSchema.parse(JSON.parse(text));
  } catch {
    // Not written by this file: whoever wrote it holds nothing we know of.
    return null;
  }
}

function isHolding({ pid, started }: Holder): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  const now = startTime(pid);
  return started === null || now === null || now === started;
}

/** Boot and clock ticks since boot, from Linux's /proc; null elsewhere, where the pid alone decides. */
function startTime(pid: number): string | null {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command in brackets may hold spaces and brackets: count fields after the last one.
    const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z') return 'ended';
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${boot}:${fields[19] ?? ''}`;
  } catch {
    return null;
  }
}
