// Adapters side by side in one decode, by the real engine child on tiny random models: every stream gets what
// it gets alone, whatever ranks, matrices, slots and batches it shares.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EngineStatus, ScoreResult } from '@corral/contracts';
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
beforeAll(async () => {
  folder = await temporaryFolder();
  await writeTinyModel(folder.path('float32.gguf'));
  // A base in float16: adapters stay as they are, and what is computed together must be what is alone.
  await using engine = await startEngine();
  const files = { source: folder.path('float32.gguf'), target: folder.path('model.gguf') };
  await engine.call({ type: 'quantize', ...files, ftype: 'f16' });
  for (const [i, id] of ids.entries())
    await writeTinyAdapter(folder.path(`${id}.gguf`), { seed: 200 + i, ...kinds[id] });
});
afterAll(() => folder[Symbol.asyncDispose]());

const loadAdapter = (engine: TestEngine, id: string, file = id): Promise<unknown> =>
  engine.call({ type: 'load_adapter', adapter_id: id, path: folder.path(`${file}.gguf`) });

async function start(changes: Record<string, number | string> = {}): Promise<TestEngine> {
  const engine = await startEngine(folder.path('model.gguf'), { ...options, ...changes });
  for (const id of ids) await loadAdapter(engine, id);
  return engine;
}

const status = async (engine: TestEngine): Promise<EngineStatus> =>
  (await engine.call({ type: 'status' })) as EngineStatus;

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

const run = async (engine: TestEngine, { prompt, ...changes }: Job): Promise<number[]> =>
  (await engine.generate(prompt, { ...changes, cache_prompt: false })).tokens;

/** What every job gets when nothing else runs and llama.cpp alone applies the adapter. */
async function alone(changes: Record<string, number>): Promise<number[][]> {
  await using engine = await start({ ...changes, adapter_batching: 'switching' });
  expect(await status(engine)).toMatchObject({ adapter_batching: 'switching' });
  const tokens = [];
  for (const job of jobs) tokens.push(await run(engine, job));
  return tokens;
}

describe('streams of different adapters in one batch', () => {
  it.each([{}, { n_threads: 2 }, { n_batch: 16 }, { n_seq_max: 5 }])(
    'get what each gets alone (%o)',
    async (changes) => {
      const expected = await alone(changes);
      expect(new Set(expected.map(String)).size).toBe(jobs.length);
      await using engine = await start(changes);
      const together = await Promise.all(jobs.map((job) => run(engine, job)));
      expect(await status(engine)).toMatchObject({ adapter_batching: 'stacked' });
      expect(together).toEqual(expected);
      // Once more, when stacks are full of others.
      expect(await Promise.all(jobs.map((job) => run(engine, job)))).toEqual(expected);
    },
  );
});
