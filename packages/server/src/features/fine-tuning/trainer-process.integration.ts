// The worker's process where the machine is against it: it cannot be started, its log cannot be written, its
// parent must be known to it. None of this may end the server.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { createTrainer, TrainerDied } from './trainer-process.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'corral-trainer-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const worker = async (source: string): Promise<string> => {
  const path = join(folder, `${crypto.randomUUID()}.mjs`);
  await writeFile(path, source);
  return path;
};

test('a data check whose process cannot start is an error of that check', async () => {
  const path = vi.spyOn(process, 'execPath', 'get').mockReturnValue(join(folder, 'no-node'));
  try {
    const { signal } = new AbortController();
    const check = createTrainer({ entry: 'x' }).check({ config: 'c', preview: 0, signal });
    await expect(check).rejects.toBeInstanceOf(TrainerDied);
  } finally {
    path.mockRestore();
  }
});

test('a run goes on although its log cannot be written', async () => {
  const entry = await worker('console.error("x".repeat(1_000_000)); process.exitCode = 0;');
  const log = join(folder, 'missing', 'trainer.log');
  const trainer = createTrainer({ entry });
  const run = trainer.train({ config: 'c', output: folder, log, onEvent: () => undefined });
  expect(await run.ended).toEqual({ kind: 'finished' });
});

test('the worker is told that its standard input is its parent', async () => {
  const entry = await worker('process.exitCode = process.env.CORRAL_PARENT === "pipe" ? 0 : 9;');
  const log = join(folder, 'trainer.log');
  const trainer = createTrainer({ entry });
  const run = trainer.train({ config: 'c', output: folder, log, onEvent: () => undefined });
  expect(await run.ended).toEqual({ kind: 'finished' });
});
