// Prompts kept on disk, through a whole server with llama.cpp behind it: found again after a restart by the
// project that sent them and by no other; gone with the model; never written unless settings ask for it.
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createTestDb } from '../../db/create-test-db.fake.ts';
import type { Database } from '../../db/database.ts';
import { createTestApp, type TestApp } from '../../testing/create-test-app.fake.ts';

const model = fileURLToPath(
  new URL('../../../../../models/rehearsal/rehearsal.gguf', import.meta.url),
);
let home: string;
let database: Database;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'corral-test-'));
  database = await createTestDb();
});
afterEach(async () => {
  await database.close();
  await rm(home, { recursive: true, force: true });
});

const start = (prefix_cache_on_disk: 'on' | 'off'): Promise<TestApp> =>
  createTestApp({
    home,
    database,
    config: {
      engine: { n_ctx: 512, n_seq_max: 2, n_threads: 1 },
      serving: { prefix_cache_on_disk },
    },
  });

async function importModel({ call }: TestApp): Promise<void> {
  await call('POST', '/api/v1/models/import', { body: { path: model, id: 'kept' } });
  for (;;) {
    const { status } = await call('GET', '/api/v1/models/kept');
    if (status === 200) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const system = Array.from({ length: 60 }, (_, i) => `Rule ${i}: be kind.`)
  .join(' ')
  .slice(0, 700);

/** Tokens of the prompt that were found, and the answer. */
async function ask({ call, adminKey }: TestApp, key = adminKey) {
  const { status, json, text } = await call('POST', '/v1/chat/completions', {
    key,
    body: {
      model: 'kept',
      temperature: 0,
      max_tokens: 12,
      messages: [
        { role: 'system', content: system },
        { role: 'user', content: 'Who are you?' },
      ],
    },
  });
  expect(status, text).toBe(200);
  const cached: number = json.usage.prompt_tokens_details.cached_tokens;
  return { cached, answer: String(json.choices[0].message.content) };
}

const written = (): string[] =>
  existsSync(join(home, 'cache/prefixes'))
    ? readdirSync(join(home, 'cache/prefixes'), { recursive: true }).map(String)
    : [];

test('a restarted server finds what its project has sent, another project nothing', async () => {
  let before: Awaited<ReturnType<typeof ask>>;
  {
    await using server = await start('on');
    await importModel(server);
    before = await ask(server);
    expect(before.cached).toBe(0);
  }
  {
    await using server = await start('on');
    const other = await server.otherProject('other');
    expect(await ask(server, other)).toEqual(before);
    const again = await ask(server);
    expect(again.cached).toBeGreaterThan(100);
    expect(again.answer).toBe(before.answer);
    expect(written().some((name) => name.endsWith('.prefix'))).toBe(true);
    const removed = await server.call('DELETE', '/api/v1/models/kept');
    expect(removed.status, removed.text).toBeLessThan(300);
    expect(written()).toEqual([]);
  }
});

test('nothing is written unless settings ask for it', async () => {
  await using server = await start('off');
  await importModel(server);
  expect((await ask(server)).cached).toBe(0);
  expect((await ask(server)).cached).toBeGreaterThan(100);
  await server.close();
  expect(written()).toEqual([]);
});
