// The lock of a home among processes that come, go and die.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';

const program = fileURLToPath(new URL('home-lock-stress.fake.ts', import.meta.url));
const rounds = 40;
const slots = 6;
const lives = 2;

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'corral-lock-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

async function live(): Promise<string[]> {
  const child = spawn(process.execPath, [program, join(folder, 'server.lock'), String(rounds)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await once(child, 'close');
  return said.trim().split('\n');
}

test('is held by one process at a time, however many want it and die with it', async () => {
  const said = await Promise.all(
    Array.from({ length: slots }, async () => {
      const lines: string[] = [];
      for (let life = 0; life < lives; life += 1) lines.push(...(await live()));
      return lines;
    }),
  );
  expect(said.flat().filter((line) => line !== 'alone')).toEqual([]);
  expect(said.flat()).toHaveLength(slots * lives * rounds);
});
