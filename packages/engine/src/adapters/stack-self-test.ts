// Does this build of llama.cpp compute stacks as we think? A toy model decodes prompts and continuations with
// several adapters at once, cut into small ubatches, and must give the logits that each adapter gives alone. A
// new release that names tensors, orders rows or fuses products in another way is found here, at start.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openFileSource, readGguf } from '@corral/formats';
import type {
  NativeAdapter,
  NativeContext,
  NativeLibrary,
  NativeModel,
} from '../llama-cpp/native-types.ts';
import type { PackedAdapter, RankRange, StackFormat } from '../llama-cpp/stack-types.ts';
import { baseMatrices, withLoraFile, type BaseMatrices } from './lora-file.ts';
import { packAdapter } from './pack-adapter.ts';
import { planStack } from './stack-plan.ts';
import { toyVocabulary, writeToyAdapter, writeToyModel, type ToyAdapter } from './stack-toy.ts';

const toyAdapters: readonly ToyAdapter[] = [
  { seed: 11, rank: 4, targets: /./ },
  { seed: 12, rank: 16, targets: /^attn_[qv]$/ },
  { seed: 13, rank: 7, targets: /^ffn_|^attn_o/ },
];

/** Sequences of the test: its adapter (−1 = none) and its tokens; two parts, the second a continuation. */
const sequences = [
  { adapter: 0, prompt: 5, rest: 1 },
  { adapter: 1, prompt: 1, rest: 9 },
  { adapter: -1, prompt: 3, rest: 1 },
  { adapter: 2, prompt: 4, rest: 1 },
  { adapter: 0, prompt: 2, rest: 2 },
] as const;

const ubatchTokens = 4;

/** Relative to the largest logit: keys and values are float16, and int8 rounds the weights of adapters. */
const tolerance: Record<StackFormat, number> = { float32: 2e-3, float16: 1e-2, int8: 3e-2 };

const tokenAt = (sequence: number, position: number): number =>
  (sequence * 17 + position * 29 + 3) % toyVocabulary;

/** Feeds [from, to) of some sequences in one decode; logits of each one's last token. */
function decode(
  context: NativeContext,
  parts: readonly { sequence: number; as: number; from: number; to: number }[],
): Float32Array[] {
  context.batch.clear();
  for (const { sequence, as, from, to } of parts)
    for (let position = from; position < to; position++)
      context.batch.add(tokenAt(sequence, position), position, as, position === to - 1);
  const outcome = context.decode();
  if (outcome !== 'ok') throw new Error(context.stackFailure ?? `decoding answered "${outcome}"`);
  return parts.map((_, row) => context.logits(row).slice());
}

function openContext(model: NativeModel, unified: boolean): NativeContext {
  const shared = unified ? { sharedTokens: 32 * sequences.length } : {};
  return model.createContext({
    sequenceTokens: 32,
    sequences: sequences.length,
    batchTokens: 64,
    ubatchTokens,
    outputs: sequences.length,
    threads: 1,
    ...shared,
  });
}

/** Logits of every sequence after its two parts, each alone with its adapter. */
function alone(model: NativeModel, adapters: readonly NativeAdapter[]): Float32Array[][] {
  const context = openContext(model, false);
  try {
    return sequences.map(({ adapter, prompt, rest }, sequence) => {
      context.truncate(0, 0);
      context.useAdapter(adapters[adapter] ?? null);
      return [
        [0, prompt],
        [prompt, prompt + rest],
      ].flatMap(([from = 0, to = 0]) => decode(context, [{ sequence, as: 0, from, to }]));
    });
  } finally {
    context.useAdapter(null);
    context.close();
  }
}

/** The same with all in two decodes; what is longer runs beside what only continues. */
async function together(
  model: NativeModel,
  packed: readonly PackedAdapter[],
  { base, unified }: { base: BaseMatrices; unified: boolean },
): Promise<Float32Array[][]> {
  const targets = [...base.matrices].map(([name, matrix]) => ({ name, ...matrix }));
  const plan = await planStack({
    architecture: base.architecture,
    format: packed[0]?.format ?? 'float32',
    ranks: 32,
    targets: targets.filter(({ name }) => name.startsWith('blk.')),
  });
  const stack = model.createStack(plan);
  const context = openContext(model, unified);
  try {
    const ranges: RankRange[] = [];
    let from = 1;
    for (const adapter of packed) {
      stack.write(from, adapter);
      ranges.push({ from, to: from + adapter.rank });
      from += adapter.rank;
    }
    context.useStack(
      stack,
      sequences.map(({ adapter }) => ranges[adapter] ?? null),
    );
    const first = sequences.map(({ prompt }, i) => ({ sequence: i, as: i, from: 0, to: prompt }));
    const second = sequences.map(({ prompt, rest }, i) => ({
      sequence: i,
      as: i,
      from: prompt,
      to: prompt + rest,
    }));
    const [a, b] = [decode(context, first), decode(context, second)];
    return sequences.map((_, i) => [a[i], b[i]].flatMap((row) => row ?? []));
  } finally {
    context.useAdapter(null);
    context.close();
    stack.close();
  }
}

/** Largest difference over the largest value. */
function distance(found: Float32Array[][], expected: Float32Array[][]): number {
  let difference = 0;
  let size = 0;
  for (const [i, rows] of expected.entries())
    for (const [j, row] of rows.entries())
      for (const [k, value] of row.entries()) {
        difference = Math.max(difference, Math.abs((found[i]?.[j]?.[k] ?? Number.NaN) - value));
        size = Math.max(size, Math.abs(value));
      }
  return difference / size;
}

async function compare(library: NativeLibrary, folder: string): Promise<string | null> {
  const modelPath = join(folder, 'toy.gguf');
  await writeToyModel(modelPath);
  await using source = await openFileSource(modelPath);
  const base = baseMatrices(await readGguf(source));
  const paths = toyAdapters.map((_, i) => join(folder, `adapter-${i}.gguf`));
  await Promise.all(toyAdapters.map((toy, i) => writeToyAdapter(paths[i] ?? '', toy)));
  const model = library.loadModel(modelPath);
  try {
    const expected = alone(
      model,
      paths.map((path) => model.loadAdapter(path)),
    );
    const checks: readonly [StackFormat, boolean][] = [
      ['float32', false],
      ['float32', true],
      ['int8', false],
    ];
    for (const [format, unified] of checks) {
      const packed: PackedAdapter[] = [];
      for (const path of paths) {
        const adapter = await withLoraFile(path, base, (file) => packAdapter(file, format));
        if (adapter) packed.push(adapter);
      }
      const found = await together(model, packed, { base, unified });
      const off = distance(found, expected);
      if (!(off <= tolerance[format]))
        return `the self-test was off by ${off.toExponential(1)} with ${format} weights`;
    }
    return null;
  } finally {
    model.close();
  }
}

const results = new WeakMap<NativeLibrary, Promise<string | null>>();

async function run(library: NativeLibrary): Promise<string | null> {
  const folder = await mkdtemp(join(tmpdir(), 'corral-self-test-'));
  try {
    return await compare(library, folder);
  } catch (error) {
    return `the self-test failed: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Why stacks cannot be used with this library; null when they can. Run once for each library. */
export function testStacks(library: NativeLibrary): Promise<string | null> {
  const known = results.get(library) ?? run(library);
  results.set(library, known);
  return known;
}
