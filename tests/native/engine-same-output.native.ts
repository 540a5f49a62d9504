// The same request gives the same answer however it is served: each prompt is asked cold and alone, then found
// in the prefix cache, after a restart, side by side with others, and with guessed tokens; tokens and
// log-probabilities are compared bit by bit. On tiny random models whose weights are in blocks, as those that
// are served are, and on a real one where CORRAL_TEST_GGUF names it (200 prompts of it:
// benchmarks/engine/same-output.ts).
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EngineRequestInput, EngineStatus } from '@corral/contracts';
import {
  startEngine,
  temporaryFolder,
  writeTinyAdapter,
  writeTinyModel,
  type TestEngine,
} from './engine-fixtures.ts';

type Prompt = Extract<EngineRequestInput, { type: 'generate' }>['prompt'];

const real = process.env['CORRAL_TEST_GGUF'];
const template =
  "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n";
const plain = { prefix_cache_bytes: 0, speculation: 'off' };
const greedy = { temperature: 0 };
const seeded = { temperature: 1, seed: 5 };

/** Whole numbers from 0 to `below` - 1 (mulberry32). */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** Prompts of up to 460 tokens that share beginnings of all lengths: ids, and messages. */
function makePrompts(count: number, seed: number): Prompt[] {
  const random = createRandom(seed);
  const ids = (length: number): number[] => Array.from({ length }, () => 4 + random(200));
  const text = (length: number): string =>
    Array.from({ length }, () => String.fromCharCode(97 + random(26))).join('');
  const beginnings = [20, 40, 70, 100, 130, 200, 260, 330].map(ids);
  const systems = [10, 30, 60, 90, 150, 250].map(text);
  return Array.from({ length: count }, (_, i): Prompt => {
    if (i % 3 === 2) {
      const system = { role: 'system' as const, content: systems[random(systems.length)] ?? '' };
      const user = { role: 'user' as const, content: text(1 + random(90)) };
      return { kind: 'messages', messages: [system, user] };
    }
    const beginning = beginnings[random(beginnings.length)] ?? [];
    return { kind: 'tokens', tokens: [...beginning, ...ids(1 + random(120))] };
  });
}

interface Answer {
  readonly tokens: number[];
  readonly logprobs: number[];
}

interface Asked {
  readonly answers: Answer[];
  /** Prompts of which a beginning was found in the cache. */
  readonly found: number;
}

interface Ask {
  readonly together?: boolean;
  readonly sampling?: object;
  readonly max_tokens?: number;
  readonly adapter_id?: string;
}

async function askAll(
  engine: TestEngine,
  prompts: readonly Prompt[],
  { together = false, sampling = greedy, max_tokens = 8, ...adapter }: Ask = {},
): Promise<Asked> {
  let found = 0;
  const ask = async (prompt: Prompt): Promise<Answer> => {
    const changes = { prompt, sampling, max_tokens, top_logprobs: 0, ...adapter };
    const { tokens, logprobs, finish } = await engine.generate('', changes);
    if ((finish?.cached_tokens ?? 0) > 0) found++;
    return { tokens, logprobs: logprobs.map(({ logprob }) => logprob) };
  };
  if (together) return { answers: await Promise.all(prompts.map(ask)), found };
  const answers: Answer[] = [];
  for (const prompt of prompts) answers.push(await ask(prompt));
  return { answers, found };
}

let folder: Awaited<ReturnType<typeof temporaryFolder>>;

beforeAll(async () => {
  folder = await temporaryFolder();
  await writeTinyModel(folder.path('f32.gguf'), { template });
  await writeTinyAdapter(folder.path('adapter.gguf'), { seed: 9 });
  await using engine = await startEngine();
  for (const ftype of ['q8_0', 'q4_0'] as const)
    await engine.call({
      type: 'quantize',
      source: folder.path('f32.gguf'),
      target: folder.path(`${ftype}.gguf`),
      ftype,
    });
});
afterAll(() => folder[Symbol.asyncDispose]());

const models = [
  { name: 'tiny, Q8_0', file: () => folder.path('q8_0.gguf'), count: 120, seed: 1 },
  { name: 'tiny, Q4_0', file: () => folder.path('q4_0.gguf'), count: 80, seed: 2 },
  ...(real === undefined ? [] : [{ name: real, file: () => real, count: 16, seed: 3 }]),
];

describe.each(models)('a model ($name)', ({ file, count, seed }) => {
  const prompts = makePrompts(count, seed);
  let alone: TestEngine;
  let cold: Asked;
  const start = (options: Record<string, number | string> = {}): Promise<TestEngine> =>
    startEngine(file(), { n_ctx: 512, n_seq_max: 8, n_batch: 256, n_threads: 1, ...options });

  beforeAll(async () => {
    alone = await start(plain);
    cold = await askAll(alone, prompts);
  });
  afterAll(() => alone[Symbol.asyncDispose]());

  it('says what it says cold when a beginning is found in the cache', async () => {
    // Its pieces are others than those of the cold run.
    await using engine = await start({ speculation: 'off', n_batch: 128 });
    const { answers, found } = await askAll(engine, prompts);
    expect(answers).toEqual(cold.answers);
    expect(found).toBeGreaterThan(count / 2);
  });

  it('says what it says cold after a restart', async () => {
    const options = { prefix_cache_folder: folder.path(`prefixes ${seed}`) };
    const some = prompts.slice(0, 24);
    for (const restarted of [false, true]) {
      await using engine = await start(options);
      const { answers, found } = await askAll(engine, some.slice(restarted ? 12 : 0));
      expect(answers).toEqual(cold.answers.slice(restarted ? 12 : 0, 24));
      expect(found).toBeGreaterThan(restarted ? 9 : 0);
      await engine.call({ type: 'shutdown' });
    }
  });

  it('says side by side what it says alone', async () => {
    await using engine = await start(plain);
    const { answers } = await askAll(engine, prompts, { together: true });
    expect(answers).toEqual(cold.answers);
  });

  it('draws the same tokens with the same seed, cold, again, found and side by side', async () => {
    const some = prompts.slice(0, 40);
    const { answers } = await askAll(alone, some, { sampling: seeded });
    expect(answers).not.toEqual(cold.answers.slice(0, 40));
    await using engine = await start();
    for (const together of [false, true])
      expect((await askAll(engine, some, { sampling: seeded, together })).answers).toEqual(answers);
  });

  it('says with guessed tokens what it says without', async () => {
    const repeats = prompts.slice(0, 6).map((_, i): Prompt => {
      const tokens = Array.from({ length: 90 }, (_unused, j) => 10 + (j % (3 + i)));
      return { kind: 'tokens', tokens };
    });
    const expected = await askAll(alone, repeats, { max_tokens: 120 });
    await using engine = await start({ prefix_cache_bytes: 0 });
    expect(await askAll(engine, repeats, { max_tokens: 120 })).toEqual(expected);
    const { speculation } = (await engine.call({ type: 'status' })) as EngineStatus;
    expect(speculation?.drafted).toBeGreaterThan(0);
  });
});

/**
 * A single row goes through other sums than several where weights are floats (of a base, of an adapter) and,
 * past 256 tokens, where there are several threads. No prompt ends in a single row, so what is found in the
 * cache is exact there, too; a stream's token is one, so company and guesses round otherwise.
 */
const rounded = [
  { name: 'a base in floats', file: 'f32', options: {}, digits: 2 },
  // Activations in 8 bits make more of a last digit.
  { name: 'two threads', file: 'q8_0', options: { n_threads: 2 }, digits: 0 },
  { name: 'an adapter', file: 'q8_0', options: {}, adapter_id: 'a', digits: 0 },
];

describe.each(rounded)('with $name', ({ file, options, adapter_id, digits }) => {
  const prompts = makePrompts(40, 4);
  const adapter = adapter_id === undefined ? {} : { adapter_id };
  const start = async (more: Record<string, number | string>): Promise<TestEngine> => {
    const engine = await startEngine(folder.path(`${file}.gguf`), {
      n_ctx: 512,
      n_seq_max: 8,
      n_batch: 256,
      n_threads: 1,
      ...options,
      ...more,
    });
    await engine.call({
      type: 'load_adapter',
      adapter_id: 'a',
      path: folder.path('adapter.gguf'),
    });
    return engine;
  };

  it('what is found in the cache is exact, what is asked side by side is close', async () => {
    await using alone = await start(plain);
    const cold = await askAll(alone, prompts, adapter);
    await using finding = await start({ speculation: 'off' });
    const hit = await askAll(finding, prompts, adapter);
    expect(hit.answers).toEqual(cold.answers);
    expect(hit.found).toBeGreaterThan(10);
    await using busy = await start(plain);
    const { answers } = await askAll(busy, prompts, { ...adapter, together: true });
    for (const [i, { logprobs }] of answers.entries())
      // The first token: what is drawn after it may be another one.
      expect(logprobs[0]).toBeCloseTo(cold.answers[i]?.logprobs[0] ?? NaN, digits);
  });
});
