import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { acquireLock } from './home-lock.ts';

let home: string;
let path: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'corral-test-'));
  path = join(home, 'server.lock');
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

describe('lock', () => {
  it('is held by one, named, and free after release', async () => {
    const lock = await acquireLock(path);
    await expect(acquireLock(path)).rejects.toMatchObject({
      code: 'home_in_use',
      params: { pid: process.pid, home },
    });
    await lock.release();
    await lock.release();
    await (await acquireLock(path)).release();
    expect(readdirSync(home)).toEqual([]);
  });

  it.each([
    ['a process that is gone', JSON.stringify({ pid: 2 ** 30, started: null })],
    ['a process id that was used again', JSON.stringify({ pid: process.pid, started: 'earlier' })],
    ['something that is no lock', 'half a wri'],
    ['nothing', ''],
  ])('is taken from %s', async (_whom, content) => {
    writeFileSync(path, content);
    const lock = await acquireLock(path);
    await expect(acquireLock(path)).rejects.toMatchObject({ code: 'home_in_use' });
    await lock.release();
  });

  it('is taken by exactly one of many who find it stale', async () => {
    writeFileSync(path, JSON.stringify({ pid: 2 ** 30, started: null }));
    const tries = await Promise.allSettled(Array.from({ length: 8 }, () => acquireLock(path)));
    expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  it("does not release another's", async () => {
    const lock = await acquireLock(path);
    const content = JSON.stringify({ pid: 1, started: null });
    writeFileSync(path, content);
    await lock.release();
    expect(readdirSync(home)).toEqual(['server.lock']);
  });
});
