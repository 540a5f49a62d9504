// One server for one CORRAL_HOME: a lock file that names its holder by process id and start time, so that
// a reused process id is not taken for the holder. Created whole (written aside, then linked), so that
// nobody reads half of it. A live lock is never taken; a stale one is removed by one process at a time.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { link, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CorralError } from '@corral/contracts';
import { z } from 'zod';

const holderSchema = z.object({ pid: z.int(), started: z.string().nullable() });
type Holder = z.infer<typeof holderSchema>;

export interface Lock {
  /** Idempotent. */
  release(): Promise<void>;
}

/** Longest wait for others that are about to remove the same stale lock; it takes them milliseconds. */
const maxGivingWayMs = 10_000;
/** Several that give way to each other must not do it in step. */
const pauseMs = 10;

/** Throws `home_in_use`, with the holder's pid, while a live process holds the lock. */
export async function acquireLock(path: string): Promise<Lock> {
  const own: Holder = { pid: process.pid, started: startTime(process.pid) };
  const content = JSON.stringify({ ...own, id: randomUUID() });
  const deadline = Date.now() + maxGivingWayMs;
  while (!(await tryLock(path, content))) {
    const text = await readIfThere(path);
    const holder = text === null ? null : parseHolder(text);
    if (holder !== null && isHolding(holder)) throw inUse(path, holder);
    const other = text === null ? null : await removeStale(path, own);
    if (other !== null && Date.now() >= deadline) throw inUse(path, other);
    await sleep(Math.random() * pauseMs);
  }
  return {
    async release() {
      // Only ours: a home that was moved or wiped may carry another's by now.
      if ((await readIfThere(path)) === content) await rm(path, { force: true });
    },
  };
}

const inUse = (path: string, { pid }: Holder): CorralError =>
  new CorralError('home_in_use', { params: { pid, home: dirname(path) } });

/** Files beside the lock, by what follows its name: `.new-ID` is a lock written aside, `.claim-…` below. */
async function namesBeside(path: string, mark: string): Promise<string[]> {
  const prefix = `${basename(path)}${mark}`;
  return (await readdir(dirname(path))).filter((name) => name.startsWith(prefix));
}

/** The lock appears with its content or not at all. */
async function tryLock(path: string, content: string): Promise<boolean> {
  const aside = `${path}.new-${randomUUID()}`;
  await writeFile(aside, content, { mode: 0o600, flag: 'wx' });
  try {
    await link(aside, path);
    // What processes left that died while they tried; one that lives writes its own anew.
    for (const name of await namesBeside(path, '.new-'))
      await rm(join(dirname(path), name), { force: true });
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' || code === 'ENOENT') return false;
    throw error;
  } finally {
    await rm(aside, { force: true });
  }
}

/**
 * Removes a lock whose holder is gone. Two that saw the same stale lock must not both remove it, or the second
 * would remove the first one's new lock: so each lays down a claim, looks for others, and with any other there
 * leaves it. Of two the later one sees the earlier one's claim, so at most one goes on, however long it is
 * held up. Answers another claimant, or null.
 */
async function removeStale(path: string, own: Holder): Promise<Holder | null> {
  const claim = `${basename(path)}.claim-${randomUUID()}-${encodeHolder(own)}`;
  const place = join(dirname(path), claim);
  await writeFile(place, '', { flag: 'wx' });
  try {
    const other = await otherClaim(path, claim);
    if (other !== null) return other;
    const text = await readIfThere(path);
    // Free already: who takes it now needs no claim, so there is nothing that may be removed.
    if (text === null) return null;
    const holder = parseHolder(text);
    if (holder === null || !isHolding(holder)) await rm(path, { force: true });
    return null;
  } finally {
    await rm(place, { force: true });
  }
}

/** Base64 for a file's name: whose claim it is must be known as soon as it is there. */
const encodeHolder = (holder: Holder): string =>
  Buffer.from(JSON.stringify(holder)).toString('base64url');

/** A living process that is about to remove the lock; claims of the dead are removed. */
async function otherClaim(path: string, own: string): Promise<Holder | null> {
  const prefix = `${basename(path)}.claim-`;
  for (const name of await namesBeside(path, '.claim-')) {
    if (name === own) continue;
    const encoded = name.slice(prefix.length + randomUUID().length + 1);
    const holder = parseHolder(Buffer.from(encoded, 'base64url').toString());
    if (holder !== null && isHolding(holder)) return holder;
    await rm(join(dirname(path), name), { force: true });
  }
  return null;
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
