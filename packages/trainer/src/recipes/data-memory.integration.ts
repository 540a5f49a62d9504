// Memory does not grow with the data: what is kept of a run's examples is the same for twenty times the
// rows. Measured after a garbage collection, in bytes, so that it does not depend on the machine.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { runConfigSchema } from '@corral/contracts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { resolveConfig } from '../config/resolve-config.ts';
import { loadData } from './load-data.ts';
import { writeToyInputs } from './toy-run.fake.ts';

let folder = '';
let collectGarbage: () => void;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'corral-scale-'));
  setFlagsFromString('--expose-gc');
  collectGarbage = runInNewContext('gc') as () => void;
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const keptBytes = async (): Promise<number> => {
  // What the first collection lets go may only be freed by the next.
  for (let i = 0; i < 4; i++) {
    collectGarbage();
    await setImmediate();
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
};

/** Bytes kept while the examples of so many rows are open, and how many tokens those have. */
async function load(rows: number): Promise<{ bytes: number; tokens: number; count: number }> {
  const inputs = join(folder, String(rows));
  writeToyInputs(inputs);
  const path = join(inputs, 'many.jsonl');
  writeFileSync(
    path,
    Array.from(
      { length: rows },
      (_, index) => `{"prompt": "row ${index % 100}", "completion": "ok"}`,
    ).join('\n'),
  );
  const config = runConfigSchema.parse({
    model: 'model',
    data: { train: 'many.jsonl', context_length: 64 },
  });
  const before = await keptBytes();
  using data = await loadData({
    config: await resolveConfig(config, inputs),
    identity: 'scale',
    output: join(inputs, 'output'),
    signal: new AbortController().signal,
    emit: () => undefined,
    openModel: () => Promise.reject(new Error('no model is needed')),
  });
  return {
    bytes: (await keptBytes()) - before,
    tokens: data.train.inputTokens + data.validation.inputTokens,
    count: data.train.count + data.validation.count,
  };
}

test('twenty times the rows take no more memory', { timeout: 60_000 }, async () => {
  // What code and the tokenizer's cache of words need is there before it is measured.
  await load(1000);
  const few = await load(2000);
  const many = await load(40_000);
  expect(many.count).toBe(40_000);
  expect(many.tokens).toBeGreaterThan(900_000);
  // Held in memory, the tokens alone would be four bytes each.
  expect(many.bytes - few.bytes).toBeLessThan(2 * many.tokens);
});
