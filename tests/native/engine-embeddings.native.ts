// Embeddings by the real engine child, against transformers on the same tiny model (make-embeddings.py), for
// every pooling, alone and in company; adapters change them.
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EmbedResult } from '@corral/contracts';
import {
  startEngine,
  temporaryFolder,
  writeTinyAdapter,
  writeTinyModel,
  type TestEngine,
} from './engine-fixtures.ts';

interface Expected {
  readonly tokens: number[];
  readonly mean: number[];
  readonly last: number[];
  readonly cls: number[];
}

const poolings = ['mean', 'last', 'cls'] as const;
const fixture = new URL('./fixtures/embeddings.json', import.meta.url);

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let engine: TestEngine;
let expected: Expected[];

beforeAll(async () => {
  expected = JSON.parse(await readFile(fixture, 'utf8')) as Expected[];
  folder = await temporaryFolder();
  await writeTinyModel(folder.path('model.gguf'));
  await writeTinyAdapter(folder.path('a.gguf'), { seed: 100 });
  engine = await startEngine(folder.path('model.gguf'));
  await engine.call({ type: 'load_adapter', adapter_id: 'a', path: folder.path('a.gguf') });
});
afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const decode = (text: string): number[] => {
  const bytes = Buffer.from(text, 'base64');
  return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
};

async function embed(
  prompts: readonly (readonly number[])[],
  changes: object = {},
): Promise<number[][]> {
  const result = (await engine.call({
    type: 'embed',
    tenant: 't',
    prompts: prompts.map((tokens) => ({ kind: 'tokens', tokens: [...tokens] })),
    ...changes,
  })) as EmbedResult;
  return result.embeddings.map(decode);
}

const distance = (a: readonly number[], b: readonly number[]): number =>
  Math.max(...a.map((value, i) => Math.abs(value - (b[i] ?? NaN))));

/** Keys and values are kept in float16, and attention adds up in it. */
const rounding = 2e-3;

describe('embeddings', () => {
  it.each(poolings)('by %s are those of transformers', async (pooling) => {
    const found = await embed(
      expected.map(({ tokens }) => tokens),
      { pooling },
    );
    for (const [i, entry] of expected.entries())
      expect(distance(found[i] ?? [], entry[pooling])).toBeLessThan(rounding);
  });

  it('of many texts are those of each alone, beside a running stream', async () => {
    const many = Array.from({ length: 40 }, (_, i) =>
      Array.from({ length: 1 + ((7 * i) % 90) }, (_unused, j) => (i * 31 + j * 17) % 250),
    );
    const alone: number[][] = [];
    for (const tokens of many) alone.push(...(await embed([tokens])));
    const reference = await engine.generate('hello world', { max_tokens: 60 });
    const [together, stream] = await Promise.all([
      embed(many),
      engine.generate('hello world', { max_tokens: 60 }),
    ]);
    // Bit by bit: neither the others of a request nor the streams beside it change a number.
    expect(together).toEqual(alone);
    expect(stream.tokens).toEqual(reference.tokens);
  });

  it('of a text longer than a step are whole', async () => {
    const tokens = Array.from({ length: 250 }, (_, i) => (i * 37) % 250);
    const [first] = await embed([tokens], { pooling: 'last' });
    // Fed in pieces of another size while a stream runs.
    const [[second]] = await Promise.all([
      embed([tokens], { pooling: 'last' }),
      engine.generate('the', { max_tokens: 40 }),
    ]);
    expect(second).toEqual(first);
  });

  it('are changed by an adapter, for its request only', async () => {
    const tokens = [5, 6, 7];
    const [base] = await embed([tokens]);
    const [tuned] = await embed([tokens], { adapter_id: 'a' });
    const [again] = await embed([tokens]);
    expect(distance(base ?? [], tuned ?? [])).toBeGreaterThan(0.01);
    expect(distance(again ?? [], base ?? [])).toBeLessThan(1e-6);
    await engine.call({ type: 'unload_adapter', adapter_id: 'a' });
    await expect(embed([tokens], { adapter_id: 'a' })).rejects.toMatchObject({ code: 'not_found' });
    const [last] = await embed([tokens]);
    expect(distance(last ?? [], base ?? [])).toBeLessThan(1e-6);
  });
});
