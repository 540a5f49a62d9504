// Adapters side by side in one decode, by the real engine child on tiny random models: every stream gets what
// it gets alone, whatever ranks, matrices, slots and batches it shares.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EngineStatus } from '@corral/contracts';
import {
  startEngine,
  temporaryFolder,
  writeTinyAdapter,
  writeTinyModel,
  type TestEngine,
} from './engine-fixtures.ts';

const options = { n_ctx: 256, n_seq_max: 16, n_batch: 64, n_threads: 1 };
const attention = ['attn_q', 'attn_k', 'attn_v', 'attn_output'];
/** Ranks and matrices of the adapters, by id. */
const kinds: Readonly<Record<string, { rank: number; targets?: readonly string[] }>> = {
  r4: { rank: 4 },
  r8: { rank: 8, targets: attention },
  r16: { rank: 16 },
  r64: { rank: 64 },
  odd: { rank: 5, targets: ['ffn_down', 'attn_q'] },
  ...Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`more${i}`, { rank: 16 }])),
};
const ids = Object.keys(kinds);

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
/** With all adapters. */
let engine: TestEngine;
beforeAll(async () => {
  folder = await temporaryFolder();
  await writeTinyModel(folder.path('float32.gguf'));
  // A base in float16: adapters stay as they are, and what is computed together must be what is alone.
  await using child = await startEngine();
  const files = { source: folder.path('float32.gguf'), target: folder.path('model.gguf') };
  await child.call({ type: 'quantize', ...files, ftype: 'f16' });
  for (const [i, id] of ids.entries())
    await writeTinyAdapter(folder.path(`${id}.gguf`), { seed: 200 + i, ...kinds[id] });
});
afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const loadAdapter = (to: TestEngine, id: string, file = id): Promise<unknown> =>
  to.call({ type: 'load_adapter', adapter_id: id, path: folder.path(`${file}.gguf`) });

async function start(changes: Record<string, number | string> = {}): Promise<TestEngine> {
  const started = await startEngine(folder.path('model.gguf'), { ...options, ...changes });
  for (const id of ids) await loadAdapter(started, id);
  return started;
}

const status = async (of: TestEngine): Promise<EngineStatus> =>
  (await of.call({ type: 'status' })) as EngineStatus;

interface Job {
  readonly adapter_id: string | null;
  readonly prompt: string;
  readonly max_tokens: number;
}
/** Prompts and answers of unequal length, so that prompts run beside generation. */
const jobs: readonly Job[] = [null, ...ids].map((adapter_id, i) => ({
  adapter_id,
  prompt: 'the quick brown fox jumps over the lazy dog '
    .slice(0, 3 + ((i * 11) % 40))
    .repeat(1 + (i % 3)),
  max_tokens: 20 + ((i * 7) % 30),
}));

const run = async (on: TestEngine, { prompt, ...changes }: Job): Promise<number[]> =>
  (await on.generate(prompt, { ...changes, cache_prompt: false })).tokens;

/** What every job gets when nothing else runs and llama.cpp alone applies the adapter. */
async function alone(changes: Record<string, number> = {}): Promise<number[][]> {
  await using switching = await start({ ...changes, adapter_batching: 'switching' });
  expect(await status(switching)).toMatchObject({ adapter_batching: 'switching' });
  const tokens = [];
  for (const job of jobs) tokens.push(await run(switching, job));
  expect(new Set(tokens.map(String)).size).toBe(jobs.length);
  return tokens;
}

/** The same jobs at once, and once more when stacks are full of others. */
async function together(on: TestEngine, mode = 'stacked'): Promise<number[][]> {
  const first = await Promise.all(jobs.map((job) => run(on, job)));
  expect(await status(on)).toMatchObject({ adapter_batching: mode });
  const again = await Promise.all(jobs.toReversed().map((job) => run(on, job)));
  expect(again).toEqual(first.toReversed());
  return first;
}

describe('streams of different adapters in one batch', () => {
  let expected: number[][];
  beforeAll(async () => {
    expected = await alone();
    engine = await start();
  });

  it('get what each gets alone', async () => {
    expect(await together(engine)).toEqual(expected);
  });

  it('get it with fewer sequences than streams', async () => {
    await using small = await start({ n_seq_max: 5 });
    expect(await together(small)).toEqual(expected);
  });

  it('get it when prompts are read in many parts', async () => {
    await using narrow = await start({ n_batch: 16 });
    expect(await together(narrow)).toEqual(await alone({ n_batch: 16 }));
  });

  it('get it on two threads', async () => {
    await using wide = await start({ n_threads: 2 });
    // Few tokens: threads that wait for each other beside busy neighbours are slow.
    const few = jobs.slice(0, 4).map((job) => ({ ...job, max_tokens: 6 }));
    const found = await Promise.all(few.map((job) => run(wide, job)));
    expect(found).toEqual(expected.slice(0, 4).map((tokens) => tokens.slice(0, 6)));
  });

  it('get it while adapters come and go', async () => {
    const running = Promise.all(jobs.map((job) => run(engine, job)));
    for (let i = 0; i < 5; i++) {
      await loadAdapter(engine, `extra${i}`, ids[i]);
      const [job, tokens] = [jobs[i + 1], expected[i + 1]];
      expect(job && (await run(engine, { ...job, adapter_id: `extra${i}` }))).toEqual(tokens);
      await engine.call({ type: 'unload_adapter', adapter_id: `extra${i}` });
    }
    expect(await running).toEqual(expected);
    const { adapters } = await status(engine);
    expect(adapters.map(({ id }) => id)).toEqual(ids);
  });
});

describe.each([
  ['contexts', true],
  ['switching', false],
])('streams with adapters in %s', (mode, used) => {
  let expected: number[][];
  let fallback: TestEngine;
  beforeAll(async () => {
    expected = await alone();
    fallback = await start({ adapter_batching: mode });
  });
  afterAll(() => fallback[Symbol.asyncDispose]());

  it('get what each gets alone', async () => {
    expect(await together(fallback, mode)).toEqual(expected);
    expect((await status(fallback)).adapter_batching_reason).toBe('so configured');
  });

  it('get it with fewer sequences than streams', async () => {
    await using small = await start({ n_seq_max: 3, adapter_batching: mode });
    expect(await together(small, mode)).toEqual(expected);
  });

  it('get it with prompts that are found in the cache', async () => {
    const cached = async ({ prompt, ...changes }: Job): Promise<number[]> =>
      (await fallback.generate(prompt, changes)).tokens;
    for (let round = 0; round < 3; round++)
      expect(await Promise.all(jobs.map(cached))).toEqual(expected);
    expect((await status(fallback)).prefix_cache?.hits).toBeGreaterThan(0);
  });

  it('get it while adapters come and go, and others are cancelled', async () => {
    const running = Promise.all(jobs.map((job) => run(fallback, job)));
    for (let i = 0; i < 5; i++) {
      await loadAdapter(fallback, `extra${i}`, ids[i]);
      const [job, tokens] = [jobs[i + 1], expected[i + 1]];
      const target = `cancelled ${i}`;
      const adapter_id = job?.adapter_id ?? null;
      const cancelled = fallback.generate('x', { adapter_id, id: target, max_tokens: 200 });
      await fallback.call({ type: 'cancel', target });
      expect((await cancelled).finish).toMatchObject({ reason: 'cancelled' });
      expect(job && (await run(fallback, { ...job, adapter_id: `extra${i}` }))).toEqual(tokens);
      await fallback.call({ type: 'unload_adapter', adapter_id: `extra${i}` });
    }
    expect(await running).toEqual(expected);
  });

  it('are told by the status what memory that takes', async () => {
    const { adapter_memory: memory } = await status(fallback);
    const { contexts = 0, context_bytes = 0, context_sequences = 0 } = memory ?? {};
    const { max_context_sequences = 0, stack_bytes } = memory ?? {};
    expect([stack_bytes, contexts > 1, context_bytes > 0]).toEqual([0, used, used]);
    expect(context_sequences).toBeLessThanOrEqual(max_context_sequences);
  });
});

describe('an adapter', () => {
  it('that is unloaded under its stream is freed when the stream has ended', async () => {
    const [, job] = jobs;
    if (!job) throw new Error('there is no job');
    const long = { ...job, max_tokens: 150 };
    const whole = await run(engine, long);
    const running = run(engine, long);
    await engine.call({ type: 'unload_adapter', adapter_id: 'r4' });
    // Unloading waited for it.
    expect((await status(engine)).active).toBe(0);
    expect(await running).toEqual(whole);
    await expect(run(engine, job)).rejects.toThrow(/no adapter/);
    await loadAdapter(engine, 'r4');
    expect(await run(engine, long)).toEqual(whole);
  });

  it('is described by the status, and the stacks with it', async () => {
    await run(engine, { adapter_id: 'r64', prompt: 'hello', max_tokens: 4 });
    const { adapters, ...rest } = await status(engine);
    expect(adapters.find(({ id }) => id === 'r64')).toMatchObject({ rank: 64, active: true });
    expect(adapters.find(({ id }) => id === 'odd')).toMatchObject({ rank: 5, active: false });
    expect(rest.adapter_batching_reason).toMatch(/self-test passed/);
    const { resident_bytes = 0, stack_bytes = 0, max_stack_bytes = 0 } = rest.adapter_memory ?? {};
    expect(resident_bytes).toBe(adapters.reduce((sum, { bytes }) => sum + bytes, 0));
    expect(stack_bytes).toBeGreaterThan(0);
    expect(stack_bytes).toBeLessThanOrEqual(max_stack_bytes);
    expect(rest.adapter_memory?.stack_ranks).toBe(64);
  });

  it('whose weights are not numbers is refused before it could reach others', async () => {
    await writeTinyAdapter(folder.path('nan.gguf'), { seed: 1, scale: Number.NaN });
    await expect(loadAdapter(engine, 'nan')).rejects.toMatchObject({ code: 'model_file_invalid' });
    await writeTinyAdapter(folder.path('narrow.gguf'), { seed: 1, width: 32 });
    await expect(loadAdapter(engine, 'narrow')).rejects.toMatchObject({
      code: 'model_file_invalid',
    });
  });

  it('of a quantised base says in company what it says alone', async () => {
    await using quantised = await startEngine();
    const files = { source: folder.path('float32.gguf'), target: folder.path('q8.gguf') };
    await quantised.call({ type: 'quantize', ...files, ftype: 'q8_0' });
    await quantised.call({ type: 'load', model_path: files.target, options });
    for (const id of ids) await loadAdapter(quantised, id);
    const single: number[][] = [];
    for (const job of jobs) single.push(await run(quantised, job));
    const company = await Promise.all(jobs.map((job) => run(quantised, job)));
    // A quantised base rounds activations by blocks, so a batch of another shape may part on a near tie.
    const equal = company.filter((tokens, i) => String(tokens) === String(single[i]));
    expect(equal.length).toBeGreaterThan(jobs.length / 2);
    expect(company.map(([first]) => first)).toEqual(single.map(([first]) => first));
  });
});
