// A home behind a symbolic link: the embedded Postgres must still know its own process, or it would start a
// second one on the same data and leave the first running.
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startEmbeddedPostgres } from '../../packages/server/src/db/embedded-postgres.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp('/tmp/corral-test-link-');
  await mkdir(join(folder, 'real'));
  await symlink(join(folder, 'real'), join(folder, 'link'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

it('is taken for its own behind a link: not started twice, found again, stopped', async () => {
  const deaths: string[] = [];
  const place = join(folder, 'link', 'postgres');
  const first = await startEmbeddedPostgres(place, ({ message }) => deaths.push(message));
  const { pid } = first;
  await sleep(2500);
  expect(deaths).toEqual([]);
  const again = await startEmbeddedPostgres(place);
  expect([again.attached, again.pid]).toEqual([true, pid]);
  await Promise.all([again.stop(), first.stop()]);
  expect(isAlive(pid)).toBe(false);
});
