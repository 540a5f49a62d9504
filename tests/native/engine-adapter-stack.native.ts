// A stack of adapters at the native seam: logits of every position against the same batches with llama.cpp's
// own adapter for all sequences, while slots are replaced, caches grow past 256 and ubatches are tiny. A product
// of a stack is added up in another order than one of the adapter alone; activations that differ in the last
// bit are then rounded to neighbouring float16 numbers, by the cache and by a float16 base.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFileSource, readGguf } from '@corral/formats';
import {
  baseMatrices,
  withLoraFile,
  type BaseMatrices,
} from '../../packages/engine/src/adapters/lora-file.ts';
import { packAdapter } from '../../packages/engine/src/adapters/pack-adapter.ts';
import { planStack } from '../../packages/engine/src/adapters/stack-plan.ts';
import { testStacks } from '../../packages/engine/src/adapters/stack-self-test.ts';
import { openNativeLibrary } from '../../packages/engine/src/llama-cpp/native-library.ts';
import type {
  NativeAdapter,
  NativeContext,
  NativeModel,
} from '../../packages/engine/src/llama-cpp/native-types.ts';
import type {
  NativeStack,
  PackedAdapter,
  RankRange,
} from '../../packages/engine/src/llama-cpp/stack-types.ts';
import { temporaryFolder, writeTinyAdapter, writeTinyModel } from './engine-fixtures.ts';

const library = openNativeLibrary();
const adapterKinds = [
  { rank: 4 },
  { rank: 16, targets: ['attn_q', 'attn_k', 'attn_v', 'attn_output'] },
  { rank: 64 },
  { rank: 8, targets: ['ffn_down'] },
];

interface Bench {
  readonly model: NativeModel;
  readonly base: BaseMatrices;
  readonly native: readonly NativeAdapter[];
  readonly packed: readonly PackedAdapter[];
}
type Weights = 'f32' | 'f16';

/** Difference of logits that is allowed, relative to the largest. */
const tolerance = 1e-3;

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
const benches = new Map<Weights, Bench>();

async function openBench(weights: Weights): Promise<Bench> {
  const path = folder.path(`${weights}.gguf`);
  const model = library.loadModel(path);
  await using source = await openFileSource(path);
  const base = baseMatrices(await readGguf(source));
  const native: NativeAdapter[] = [];
  const packed: PackedAdapter[] = [];
  for (const i of adapterKinds.keys()) {
    const file = folder.path(`${i}.gguf`);
    native.push(model.loadAdapter(file));
    const ready = await withLoraFile(file, base, (lora) => packAdapter(lora, 'float32'));
    if (ready) packed.push(ready);
  }
  return { model, base, native, packed };
}

beforeAll(async () => {
  folder = await temporaryFolder();
  await writeTinyModel(folder.path('f32.gguf'));
  const files = { source: folder.path('f32.gguf'), target: folder.path('f16.gguf') };
  await library.quantize({ ...files, type: 'f16', threads: 1 });
  for (const [i, kind] of adapterKinds.entries())
    await writeTinyAdapter(folder.path(`${i}.gguf`), { seed: 300 + i, ...kind });
  for (const weights of ['f32', 'f16'] as const) benches.set(weights, await openBench(weights));
});
afterAll(async () => {
  for (const { model } of benches.values()) model.close();
  await folder[Symbol.asyncDispose]();
});

/** All adapters and the base; where threads wait for each other beside busy neighbours, one is enough. */
const everyAdapter = [-1, 0, 1, 2, 3];

interface ContextChoice {
  readonly compared?: readonly number[];
  readonly weights: Weights;
  readonly threads: number;
  readonly ubatchTokens: number;
  readonly unified: boolean;
}

const benchOf = ({ weights }: ContextChoice): Bench => {
  const bench = benches.get(weights);
  if (!bench) throw new Error('it was not opened');
  return bench;
};

const openContext = (choice: ContextChoice): NativeContext =>
  benchOf(choice).model.createContext({
    sequenceTokens: 512,
    sequences: 4,
    batchTokens: 512,
    ubatchTokens: choice.ubatchTokens,
    outputs: 512,
    threads: choice.threads,
    ...(choice.unified ? { sharedTokens: 2048 } : {}),
  });

/** A sequence of the test: the adapter it uses and how many tokens each step feeds. */
interface Stream {
  readonly adapter: number;
  readonly counts: readonly number[];
}

const tokenAt = (stream: number, position: number): number =>
  4 + ((stream * 41 + position * 29) % 250);

/** One decode of `count` tokens of each stream from where it stands; logits of all of them, in order. */
function step(
  context: NativeContext,
  feeds: readonly { stream: number; sequence: number; from: number; count: number }[],
): Float32Array[] {
  context.batch.clear();
  for (const { stream, sequence, from, count } of feeds)
    for (let position = from; position < from + count; position++)
      context.batch.add(tokenAt(stream, position), position, sequence, true);
  expect(context.decode()).toBe('ok');
  return Array.from({ length: context.batch.size }, (_, row) => context.logits(row).slice());
}

/** Largest difference over the largest logit; the likeliest token must be the same everywhere. */
function compare(found: readonly Float32Array[], expected: readonly Float32Array[]): number {
  expect(found.length).toBe(expected.length);
  let difference = 0;
  let size = 0;
  for (const [i, row] of expected.entries()) {
    const other = found[i] ?? new Float32Array();
    for (const [k, value] of row.entries()) {
      difference = Math.max(difference, Math.abs((other[k] ?? Number.NaN) - value));
      size = Math.max(size, Math.abs(value));
    }
    expect(other.indexOf(Math.max(...other))).toBe(row.indexOf(Math.max(...row)));
  }
  return difference / size;
}

// Streams 0 and 1 end after the second step; 4 and 5 take their sequences, and 5 the ranks of adapter 0.
const streams: readonly Stream[] = [
  { adapter: 0, counts: [7, 30, 0, 0] },
  { adapter: -1, counts: [20, 1, 0, 0] },
  { adapter: 1, counts: [250, 1, 20, 1] },
  { adapter: 2, counts: [3, 1, 1, 1] },
  { adapter: 0, counts: [0, 0, 11, 2] },
  { adapter: 3, counts: [0, 0, 5, 1] },
];
const sequenceOf = [0, 1, 2, 3, 1, 0];

/** Where adapters lie in a stack of 128 ranks, before and after adapter 3 replaces adapter 0's place. */
const places: readonly ReadonlyMap<number, number>[] = [
  new Map([
    [0, 3],
    [1, 12],
    [2, 40],
  ]),
  new Map([
    [3, 3],
    [1, 12],
    [2, 40],
    [0, 110],
  ]),
];

function rangeOf(
  adapter: number,
  place: ReadonlyMap<number, number>,
  { packed }: Bench,
): RankRange | null {
  const from = place.get(adapter);
  const rank = packed[adapter]?.rank;
  return from === undefined || rank === undefined ? null : { from, to: from + rank };
}

async function openStack({ model, base }: Bench): Promise<NativeStack> {
  const targets = [...base.matrices].map(([name, matrix]) => ({ name, ...matrix }));
  const plan = await planStack({
    architecture: base.architecture,
    format: 'float32',
    ranks: 128,
    targets: targets.filter(({ name }) => name.startsWith('blk.')),
  });
  return model.createStack(plan);
}

/** Logits of every position of all streams, in four decodes; `use` is called before each. */
function decodeAll(
  context: NativeContext,
  use: (number: number, sequences: readonly { stream: number; sequence: number }[]) => void,
): Float32Array[][] {
  const found: Float32Array[][] = streams.map(() => []);
  const fed = streams.map(() => 0);
  for (let number = 0; number < 4; number++) {
    if (number === 2) for (const sequence of [0, 1]) context.truncate(sequence, 0);
    const feeds = streams.flatMap(({ counts }, stream) => {
      const [count = 0, from = 0] = [counts[number], fed[stream]];
      return count > 0 ? [{ stream, sequence: sequenceOf[stream] ?? 0, from, count }] : [];
    });
    use(number, feeds);
    const rows = step(context, feeds);
    for (const { stream, count } of feeds) {
      found[stream]?.push(...rows.splice(0, count));
      fed[stream] = (fed[stream] ?? 0) + count;
    }
  }
  return found;
}

/** With the adapter for all of them, as llama.cpp applies it. */
function withOne(choice: ContextChoice, adapter: number): Float32Array[][] {
  const context = openContext(choice);
  try {
    return decodeAll(context, () => context.useAdapter(benchOf(choice).native[adapter] ?? null));
  } finally {
    context.useAdapter(null);
    context.close();
  }
}

/** With the adapter of each. */
async function withStack(choice: ContextChoice): Promise<Float32Array[][]> {
  const bench = benchOf(choice);
  const stack = await openStack(bench);
  const context = openContext(choice);
  try {
    return decodeAll(context, (number, sequences) => {
      const place = places[number < 2 ? 0 : 1] ?? new Map<number, number>();
      // In the first step the tensors are not known yet; in the third they are replaced in place.
      if (number === 0 || number === 2)
        for (const [adapter, from] of place) {
          const weights = bench.packed[adapter];
          if (weights) stack.write(from, weights);
        }
      const ranks: (RankRange | null)[] = [];
      for (const { stream, sequence } of sequences)
        ranks[sequence] = rangeOf(streams[stream]?.adapter ?? -1, place, bench);
      context.useStack(stack, ranks);
    });
  } finally {
    context.useAdapter(null);
    context.close();
    stack.close();
  }
}

describe('a stack of adapters', () => {
  it.each<ContextChoice>([
    { weights: 'f32', threads: 1, ubatchTokens: 512, unified: false },
    { weights: 'f32', threads: 1, ubatchTokens: 5, unified: false },
    { weights: 'f16', threads: 2, ubatchTokens: 512, unified: false, compared: [0] },
    { weights: 'f16', threads: 1, ubatchTokens: 16, unified: true },
  ])('gives each stream the logits of its adapter alone (%o)', async (choice) => {
    const found = await withStack(choice);
    expect(found.flat().length).toBeGreaterThan(256);
    for (const adapter of choice.compared ?? everyAdapter) {
      const expected = withOne(choice, adapter);
      const users = [...streams.keys()].filter((i) => streams[i]?.adapter === adapter);
      for (const i of users)
        expect(compare(found[i] ?? [], expected[i] ?? [])).toBeLessThan(tolerance);
    }
  });

  it('passes the self-test that decides whether stacks are used', async () => {
    expect(await testStacks(library)).toBeNull();
  });
});
