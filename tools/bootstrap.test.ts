// What a person or a service manager may expect of the start script: signals reach the program that it
// started, and its exit is that program's. The clone here is a copy with everything "installed".
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

let clone: string;
let child: ChildProcess | null = null;

beforeEach(async () => {
  clone = await mkdtemp(join(tmpdir(), 'corral-bootstrap-'));
  const folders = ['tools', 'packages/cli/src', 'node_modules/.bin'];
  for (const folder of folders) await mkdir(join(clone, folder), { recursive: true });
  await copyFile(
    fileURLToPath(new URL('bootstrap.mjs', import.meta.url)),
    join(clone, 'tools', 'bootstrap.mjs'),
  );
  const lock = '{}';
  await writeFile(join(clone, 'package-lock.json'), lock);
  const stamp = createHash('sha256').update(lock).digest('hex');
  await writeFile(join(clone, 'node_modules', '.corral-install'), stamp);
  await symlink(process.execPath, join(clone, 'node_modules', '.bin', 'node'));
});
afterEach(async () => {
  child?.kill('SIGKILL');
  child = null;
  await rm(clone, { recursive: true, force: true });
});

/** Starts `main` through the script; the reader gives what it has printed when it first prints. */
async function start(main: string): Promise<{ script: ChildProcess; printed: string }> {
  await writeFile(join(clone, 'packages', 'cli', 'src', 'main.ts'), main);
  const script = spawn(process.execPath, [join(clone, 'tools', 'bootstrap.mjs'), 'corral'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  child = script;
  const [printed] = await once(script.stdout, 'data');
  return { script, printed: String(printed) };
}

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe.skipIf(process.platform === 'win32')('the start script', () => {
  test.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
    'passes %s on, waits for an orderly stop and exits as the program did',
    async (signal) => {
      const { script, printed } = await start(`
        process.once('${signal}', () => setTimeout(() => process.exit(7), 50));
        setInterval(() => {}, 1000);
        console.log(process.pid);`);
      script.kill(signal);
      expect(await once(script, 'exit')).toEqual([7, null]);
      expect(isAlive(Number(printed))).toBe(false);
    },
  );

  test('ends by the signal that ended the program', async () => {
    const { script, printed } = await start(
      `setInterval(() => {}, 1000); console.log(process.pid);`,
    );
    script.kill('SIGTERM');
    expect(await once(script, 'exit')).toEqual([null, 'SIGTERM']);
    expect(isAlive(Number(printed))).toBe(false);
  });
});
