// A frozen base in every form against plain float32: blocks change no number, 8-bit products change little
// and only what is trained with them, and neither keeps a float32 copy.
import { leveledTypes, type LeveledType } from '@corral/formats';
import { afterEach, describe, expect, it } from 'vitest';
import { input, int8Matmul } from '../graph/ops.ts';
import { lower } from '../onnx/lower.ts';
import { createAdamW } from '../optim/adamw.ts';
import { createRuntime, hostTensor } from '../runtime/runtime.ts';
import type { CausalLm } from './causal-lm.ts';
import type { FrozenBase, FrozenBaseOptions } from './frozen-base.fake.ts';
import { blockConfig, openFrozenBase } from './frozen-base.fake.ts';
import { largestIndices } from './choose-outliers.ts';
import { everyTensor, isMatrix } from './model-tensors.ts';
import { noise, packTiny, tinyRows } from './tiny-model.fake.ts';
import { matrixBytes } from './weight-forms/frozen-matrix.ts';

const opened: CausalLm[] = [];
const open = async (options: FrozenBaseOptions): Promise<FrozenBase> => {
  const base = await openFrozenBase(options);
  opened.push(base.model);
  return base;
};
afterEach(async () => {
  await Promise.all(opened.splice(0).map((model) => model.close()));
});

const batch = packTiny(tinyRows);
const train = (model: CausalLm, step = 0) => model.forwardBackward(batch, { lossScale: 1, step });
const gradients = (model: CausalLm): number[] => model.parameters.flatMap(({ grad }) => [...grad]);

const relativeError = (a: readonly number[], b: readonly number[]): number =>
  Math.hypot(...a.map((x, i) => x - (b[i] ?? 0))) / Math.hypot(...b);

const cosine = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0) / (Math.hypot(...a) * Math.hypot(...b));

const types = Object.keys(leveledTypes) as LeveledType[];
/** As llama.cpp's Q4_K_M: some tensors of some layers have more bits. */
const mixed = (name: string): LeveledType => (/v_proj|1\.mlp\.down/.test(name) ? 'Q6_K' : 'Q4_K');

describe('a base in blocks', () => {
  const cases: [string, (name: string) => LeveledType][] = [
    ...types.map((type): [string, () => LeveledType] => [type, () => type]),
    ['Q4_K beside Q6_K', mixed],
  ];
  it.each(cases)('%s: trains as its dequantised weights do', async (_, typeOf) => {
    const { model: plain } = await open({ typeOf });
    const { model: packed } = await open({ typeOf, packed: true });
    const [expected, found] = [await train(plain), await train(packed)];
    expect(Math.abs(found.lossSum / expected.lossSum - 1)).toBeLessThan(1e-5);
    expect(relativeError(gradients(packed), gradients(plain))).toBeLessThan(1e-4);
    const judged = await packed.evaluate(batch);
    expect(Math.abs(judged.lossSum / expected.lossSum - 1)).toBeLessThan(1e-5);
  });

  it('gives the same gradients when activations are recomputed', async () => {
    const { model: keeping } = await open({ packed: true });
    const { model: recomputing } = await open({ packed: true, recompute: true });
    await train(keeping);
    await train(recomputing);
    expect(relativeError(gradients(recomputing), gradients(keeping))).toBeLessThan(1e-5);
  });

  it.each([
    ['Q4_0', 4 + 1],
    ['Q4_K', 4 + 2],
    ['Q8_0', 8 + 1],
  ] as const)('%s takes %d bits a weight, and nothing is kept in float32', async (type, bits) => {
    const { tensors, model } = await open({ typeOf: () => type, packed: true });
    const frozen = everyTensor(tensors).filter(isMatrix);
    const weights = frozen.reduce((sum, { shape }) => sum + (shape[0] ?? 0) * (shape[1] ?? 0), 0);
    const bytes = frozen.reduce((sum, { matrix }) => sum + matrixBytes(matrix), 0);
    expect((8 * bytes) / weights).toBe(bits);
    // What is left in float32 are norms and the head.
    const head = blockConfig.vocab_size * blockConfig.hidden_size;
    const norms = 5 * blockConfig.hidden_size;
    expect(model.baseParameterCount - weights).toBe(head + norms);
  });
});

describe('8-bit products', () => {
  /** y[m, n] = factor · scale · Σ levels, from the definition, in integers. */
  const expectedProduct = (
    x: Float32Array,
    { levels, scale, columns }: { levels: Int8Array; scale: Float32Array; columns: number },
  ): number[] =>
    Array.from({ length: x.length / columns }, (_, m) => {
      const row = x.subarray(m * columns, (m + 1) * columns);
      const factor = Math.fround(Math.max(...row.map(Math.abs)) * Math.fround(1 / 127));
      const rounded = Array.from(row, (value) => Math.round(value / factor));
      return Array.from(scale, (step, n) => {
        const sum = rounded.reduce((all, q, k) => all + q * (levels[n * columns + k] ?? 0), 0);
        return sum * step * factor;
      });
    }).flat();

  const runGraph = async (transposeB: boolean, rows: number, [n, k]: readonly [number, number]) => {
    const x = noise('x', rows * (transposeB ? k : n));
    const levels = Int8Array.from(noise('levels', n * k), (value) => Math.round(127 * value));
    const scale = noise('scale', n).map((value) => 0.02 + 0.01 * value);
    const y = int8Matmul(input('x', [rows, transposeB ? k : n]), input('levels', [n, k], 'int8'), {
      scale: input('scale', [n]),
      transposeB,
    });
    await using runtime = createRuntime({ device: 'cpu', threads: 1 });
    const session = await runtime.createSession(lower({ outputs: new Map([['y', y]]) }));
    const out = new Float32Array(rows * (transposeB ? n : k));
    await session.run(
      {
        x: hostTensor(x, [rows, transposeB ? k : n]),
        levels: hostTensor(levels, [n, k]),
        scale: hostTensor(scale, [n]),
      },
      { y: hostTensor(out, y.shape) },
    );
    return { x, levels, scale, out };
  };

  it('are the integer products they are defined as', async () => {
    const { x, levels, scale, out } = await runGraph(true, 5, [70, 96]);
    const expected = expectedProduct(x, { levels, scale, columns: 96 });
    expect(relativeError([...out], expected)).toBeLessThan(1e-4);
  });

  it('are the same when a wide product is computed in pieces', async () => {
    const { x, levels, scale, out } = await runGraph(true, 2, [4200, 32]);
    const expected = expectedProduct(x, { levels, scale, columns: 32 });
    expect(relativeError([...out], expected)).toBeLessThan(1e-4);
  });

  it('go back through the same integers, with the scales folded in before rounding', async () => {
    const [n, k] = [70, 4200];
    const { x, levels, scale, out } = await runGraph(false, 2, [n, k]);
    const folded = x.map((value, i) => value * (scale[i % n] ?? 0));
    const transposed = new Int8Array(n * k);
    for (let i = 0; i < n * k; i++) transposed[(i % k) * n + Math.floor(i / k)] = levels[i] ?? 0;
    const ones = new Float32Array(k).fill(1);
    const expected = expectedProduct(folded, { levels: transposed, scale: ones, columns: n });
    expect(relativeError([...out], expected)).toBeLessThan(1e-4);
  });

  it('give nearly the gradients of float32, from a float32 base and from blocks', async () => {
    const { model: plain } = await open({});
    await train(plain);
    for (const packed of [false, true]) {
      const { model } = await open({ precision: 'int8', packed });
      await train(model);
      expect(cosine(gradients(model), gradients(plain))).toBeGreaterThan(0.99);
      expect(relativeError(gradients(model), gradients(plain))).toBeGreaterThan(1e-5);
    }
  });

  it('never judge a model: evaluation and logits are those of float32', async () => {
    const { model: plain } = await open({});
    const { model: rounded } = await open({ precision: 'int8' });
    expect(await rounded.evaluate(batch)).toEqual(await plain.evaluate(batch));
    const tokens = Int32Array.of(1, 2, 3, 4);
    expect(await rounded.nextTokenLogits(tokens, 0)).toEqual(
      await plain.nextTokenLogits(tokens, 0),
    );
  });

  it('leave the largest columns in float32, the first of equals', () => {
    expect(largestIndices(Float32Array.of(1, 7, 3, 7, 2, 7), 2)).toEqual([1, 3]);
  });
});

const forms: Readonly<Record<string, FrozenBaseOptions>> = {
  '8-bit products': { precision: 'int8' },
  blocks: { packed: true, typeOf: () => 'Q4_0' },
  '8-bit products of blocks': { packed: true, precision: 'int8', typeOf: mixed },
};

describe.each(Object.entries(forms))('%s', (_, options) => {
  it('give equal bytes in equal runs', async () => {
    const runs = [];
    for (let run = 0; run < 2; run++) {
      const { model } = await open({ ...options, threads: 2 });
      const adam = createAdamW(model.parameters);
      for (let step = 0; step < 2; step++) {
        await train(model, step);
        adam.step(1e-2);
      }
      runs.push(
        model.parameters.map(({ data }) => Buffer.from(data.buffer).toString('hex')).join(),
      );
    }
    expect(runs[0]).toBe(runs[1]);
  });
});
