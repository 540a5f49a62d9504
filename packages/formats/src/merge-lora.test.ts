// An adapter put into a base, in whatever blocks of rows it is read.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { expectedTensors } from './expected-tensors.ts';
import { mergeLoraRows, withLora, type LoraProduct } from './merge-lora.ts';
import { modelConfigFromJson } from './model-config-json.ts';
import { writeWeightsFolder } from './model-folder.ts';
import { convertWeightsToGguf } from './model-to-gguf.ts';
import type { ModelWeights } from './model-weights.ts';
import { readGguf } from './gguf-reader.ts';
import { openFileSource } from './byte-source.ts';
import { unpermuteQk } from './permute-qk.ts';
import { rowBlocks } from './row-blocks.ts';
import { openSafetensors } from './safetensors-folder.ts';

const floats = (count: number, seed: number): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(seed + i * 1.7));

/** Four million numbers are compared at once. */
const isSame = (a: Float32Array<ArrayBuffer>, b: Float32Array<ArrayBuffer>): boolean =>
  Buffer.from(a.buffer).equals(Buffer.from(b.buffer));

const productOf = (outputs: number, inputs: number, rank: number): LoraProduct => ({
  a: floats(rank * inputs, 1),
  b: floats(outputs * rank, 2),
  rank,
  scale: 0.5,
});

/** W + scale·B·A, written as it is read. */
const merged = (w: Float32Array, { a, b, rank, scale }: LoraProduct): number[] => {
  const inputs = a.length / rank;
  return Array.from(w, (value, at) => {
    const [row, column] = [Math.floor(at / inputs), at % inputs];
    let sum = 0;
    for (let k = 0; k < rank; k++) sum += (b[row * rank + k] ?? 0) * (a[k * inputs + column] ?? 0);
    return Math.fround(value + scale * sum);
  });
};

test('rows are merged alike whatever block they are in, for every rank', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 7 }),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 9 }),
      (outputs, inputs, rank, cut) => {
        const product = productOf(outputs, inputs, rank);
        const w = floats(outputs * inputs, 3);
        const found = [...rowBlocks([outputs, inputs], { elements: cut })].flatMap(
          ({ from, count }) => [
            ...mergeLoraRows(w.slice(from * inputs, (from + count) * inputs), from, product),
          ],
        );
        const expected = merged(w, product);
        expect(found).toHaveLength(expected.length);
        for (const [i, value] of found.entries()) expect(value).toBeCloseTo(expected[i] ?? NaN, 6);
      },
    ),
  );
});

test('blocks of rows cover a matrix once, begin where asked and are no larger than asked', () => {
  fc.assert(
    fc.property(
      fc.record({
        rows: fc.integer({ min: 0, max: 60 }),
        width: fc.integer({ min: 1, max: 9 }),
        align: fc.integer({ min: 1, max: 8 }),
        elements: fc.integer({ min: 1, max: 200 }),
      }),
      ({ rows, width, align, elements }) => {
        let next = 0;
        for (const { from, count } of rowBlocks([rows, width], { align, elements })) {
          expect(from).toBe(next);
          expect(from % align).toBe(0);
          expect(count * width).toBeLessThanOrEqual(Math.max(elements, align * width));
          next += count;
        }
        expect(next).toBe(rows);
      },
    ),
  );
});

describe('a model of several blocks a matrix', () => {
  // The embedding has two blocks of 4 M numbers, q and k keep whole heads together.
  const config = modelConfigFromJson({
    model_type: 'llama',
    vocab_size: 66_000,
    hidden_size: 64,
    intermediate_size: 32,
    num_hidden_layers: 1,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    tie_word_embeddings: true,
  });
  const shapes = expectedTensors(config);
  const made = new Map<string, Float32Array<ArrayBuffer>>();
  const read = (name: string): Float32Array<ArrayBuffer> => {
    const count = (shapes.get(name) ?? []).reduce((a, b) => a * b, 1);
    const values = made.get(name) ?? floats(count, name.length);
    made.set(name, values);
    return values.slice();
  };
  const sizes: number[] = [];
  const base: ModelWeights = {
    format: 'safetensors',
    config,
    tokenizer: {
      tokenizerJson: {
        model: { type: 'BPE', vocab: { a: 0 }, merges: [] },
        pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
      },
      tokenizerConfig: {},
    },
    tensors: new Map(
      [...shapes].map(([name, shape]) => [name, { name, shape, storedAs: 'F32' }] as const),
    ),
    readFloats: async (name) => read(name),
    readRows: async (name, from, count) => {
      const width = shapes.get(name)?.[1] ?? 1;
      sizes.push(count * width);
      return read(name).slice(from * width, (from + count) * width);
    },
    readBlocks: () => Promise.resolve(null),
    close: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const target = 'model.layers.0.self_attn.q_proj.weight';
  const product = productOf(64, 64, 4);
  const weights = withLora(base, new Map([[target, product]]));

  async function temporaryFolder(): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'corral-merge-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    return folder;
  }

  test('is written as shards, and only the adapted matrix differs', async () => {
    const folder = await temporaryFolder();
    sizes.length = 0;
    await writeWeightsFolder(weights, folder, { dtype: 'F32', shardBytes: 1_000_000 });
    expect(Math.max(...sizes)).toBeLessThanOrEqual(4 * 2 ** 20);
    await using file = await openSafetensors(folder);
    for (const name of [...shapes.keys()].filter((each) => each !== target))
      expect(isSame(await file.readFloats(name), read(name))).toBe(true);
    const found = await file.readFloats(target);
    for (const [i, value] of merged(read(target), product).entries())
      expect(found[i]).toBeCloseTo(value, 6);
  });

  test('is written as a GGUF with q in its order of rows', async () => {
    const path = join(await temporaryFolder(), 'model.gguf');
    await convertWeightsToGguf(weights, path, { form: 'F32', name: 'toy' });
    await using source = await openFileSource(path);
    const file = await readGguf(source);
    const embedding = await file.readFloats('token_embd.weight');
    expect(isSame(embedding, read('model.embed_tokens.weight'))).toBe(true);
    const q = unpermuteQk(await file.readFloats('blk.0.attn_q.weight'), 64, 4);
    for (const [i, value] of merged(read(target), product).entries())
      expect(q[i]).toBeCloseTo(value, 6);
  });

  test('has no place for an adapter of another shape', () => {
    expect(() => withLora(base, new Map([[target, productOf(64, 32, 4)]]))).toThrow(/\[64, 32\]/);
    expect(() => withLora(base, new Map([['model.layers.1.x', product]]))).toThrow(/no matrix/);
  });
});
