// The prefix cache, speculation and the shared cache by the real engine child on a tiny random model: what
// is found, copied, saved and put back says what is computed anew.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EngineStatus } from '@corral/contracts';
import {
  startEngine,
  temporaryFolder,
  writeTinyModel,
  type TestEngine,
} from './engine-fixtures.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let plain: TestEngine;

const start = (options: Record<string, number | string> = {}): Promise<TestEngine> =>
  startEngine(folder.path('model.gguf'), {
    n_ctx: 512,
    n_seq_max: 4,
    n_batch: 256,
    n_threads: 1,
    ...options,
  });

beforeAll(async () => {
  folder = await temporaryFolder();
  await writeTinyModel(folder.path('model.gguf'));
  plain = await start({ prefix_cache_bytes: 0, speculation: 'off' });
});
afterAll(async () => {
  await plain[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const system = 'All answers are short, polite and without numbers. '.repeat(6);
const questions = ['who are you?', 'what is new', 'where to now, then', 'why'];
const statusOf = async (engine: TestEngine): Promise<EngineStatus> =>
  (await engine.call({ type: 'status' })) as EngineStatus;

describe.each([
  { name: 'a cache for each sequence', options: { n_kv: 0 } },
  { name: 'a cache for all sequences', options: { n_kv: 1200 } },
])('with $name', ({ options }) => {
  it('a shared beginning is computed once, and answers are those without a cache', async () => {
    await using engine = await start(options);
    for (const question of questions) {
      const alone = await plain.generate(system + question);
      const { tokens, finish } = await engine.generate(system + question);
      expect(tokens).toEqual(alone.tokens);
      const first = question === questions[0];
      expect(finish?.cached_tokens ?? 0).toBeGreaterThanOrEqual(first ? 0 : 200);
    }
    const { prefix_cache } = await statusOf(engine);
    expect(prefix_cache).toMatchObject({ hits: 3, misses: 1 });
  });

  it('outlives more requests than there are sequences, of as many tenants', async () => {
    await using engine = await start(options);
    const prompt = system + questions[0];
    const alone = await plain.generate(prompt);
    const tenants = Array.from({ length: 6 }, (_, i) => `tenant ${i}`);
    for (const cached of [false, true]) {
      const results = await Promise.all(
        tenants.map((tenant) => engine.generate(prompt, { tenant })),
      );
      for (const { tokens, finish } of results) {
        expect(tokens).toEqual(alone.tokens);
        expect((finish?.cached_tokens ?? 0) > 0).toBe(cached);
      }
    }
  });

  it('choices of one prompt share its computation', async () => {
    await using engine = await start(options);
    const prompt = system + questions[1];
    const alone = await plain.generate(prompt);
    const results = await Promise.all([0, 1, 2, 3].map(() => engine.generate(prompt)));
    for (const { tokens } of results) expect(tokens).toEqual(alone.tokens);
    const computed = results.map(
      ({ finish }) => (finish?.prompt_tokens ?? 0) - (finish?.cached_tokens ?? 0),
    );
    // No prompt ends in a single token (prompt-cut.ts).
    expect(computed.filter((count) => count > 2)).toHaveLength(1);
  });
});

describe('more than a shared cache holds', () => {
  it('waits for its turn and says what it says alone', async () => {
    await using engine = await start({ n_kv: 512, n_seq_max: 8 });
    const prompts = Array.from({ length: 8 }, (_, i) => `${i} ${system.slice(0, 150)}`);
    const alone = [];
    for (const prompt of prompts) alone.push((await plain.generate(prompt)).tokens);
    const together = await Promise.all(prompts.map((prompt) => engine.generate(prompt)));
    expect(together.map(({ tokens }) => tokens)).toEqual(alone);
  });
});

describe('a folder', () => {
  it('brings the cache over a restart, to the same tenant', async () => {
    const options = { prefix_cache_folder: folder.path('prefixes') };
    const prompt = system + questions[0];
    const alone = await plain.generate(prompt);
    const ask = async (tenant: string) => {
      await using engine = await start(options);
      const result = await engine.generate(prompt, { tenant });
      await engine.call({ type: 'shutdown' });
      return result;
    };
    const cached = [];
    for (const tenant of ['ann', 'ann', 'bob']) {
      const { tokens, finish } = await ask(tenant);
      expect(tokens).toEqual(alone.tokens);
      cached.push((finish?.cached_tokens ?? 0) > 0);
    }
    expect(cached).toEqual([false, true, false]);
  });
});

describe('guessed tokens', () => {
  it('change neither greedy nor seeded answers', async () => {
    await using engine = await start({ prefix_cache_bytes: 0 });
    const prompt = 'abcabcabcabcabcabcabcabcabcabcabc';
    const samplings = [{ temperature: 0 }, { temperature: 0.7, seed: 3, top_k: 4 }];
    for (const sampling of samplings) {
      const changes = { sampling, max_tokens: 200 };
      const { tokens } = await engine.generate(prompt, changes);
      expect(tokens).toEqual((await plain.generate(prompt, changes)).tokens);
    }
    const { speculation } = await statusOf(engine);
    expect(speculation?.drafted).toBeGreaterThan(0);
    expect(speculation?.accepted).toBeGreaterThan(0);
  });
});
