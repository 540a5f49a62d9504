// What a training run relies on, whatever the numbers: examples do not see each other, packing and
// recomputation change nothing, equal runs give equal bytes, dropout can be drawn again, training learns.
import { afterEach, describe, expect, it } from 'vitest';
import { createAdamW } from '../optim/adamw.ts';
import type { CausalLm, PackedBatch } from './causal-lm.ts';
import type { TinyExample, TinyOptions } from './tiny-model.fake.ts';
import {
  noise,
  openTinyModel,
  packTiny,
  tinyConfig,
  tinyLora,
  tinyRows,
} from './tiny-model.fake.ts';

const opened: CausalLm[] = [];
const open = (options?: TinyOptions): CausalLm => {
  const model = openTinyModel(options);
  opened.push(model);
  return model;
};
afterEach(async () => {
  await Promise.all(opened.splice(0).map((model) => model.close()));
});

const gradientBytes = (model: CausalLm): string =>
  model.parameters
    .map(({ grad }) => Buffer.from(grad.buffer, grad.byteOffset, grad.byteLength).toString('hex'))
    .join();

const gradients = (model: CausalLm): number[] => model.parameters.flatMap(({ grad }) => [...grad]);

/** |a - b| / |b| */
const relativeError = (a: readonly number[], b: readonly number[]): number =>
  Math.hypot(...a.map((x, i) => x - (b[i] ?? 0))) / Math.hypot(...b);

const examples = tinyRows.flat();
const packed = packTiny(tinyRows);
const first: TinyExample = examples[0] ?? { tokens: [], prompt: 0 };
const second: TinyExample = examples[1] ?? { tokens: [], prompt: 0 };
const train = (model: CausalLm, batch: PackedBatch, step = 0) =>
  model.forwardBackward(batch, { lossScale: 1, step });

/** Only the given example is scored. */
const scoreOnly = (batch: PackedBatch, segment: number): PackedBatch => ({
  ...batch,
  weights: batch.weights.map((weight, i) => (batch.segments[i] === segment ? weight : 0)),
});

describe('packing', () => {
  it('gives the losses and gradients of the examples alone', async () => {
    const together = open();
    const apart = open();
    const { lossSum } = await train(together, packed);
    let sum = 0;
    for (const example of examples) sum += (await train(apart, packTiny([[example]]))).lossSum;
    expect(Math.abs(lossSum / sum - 1)).toBeLessThan(1e-5);
    expect(relativeError(gradients(together), gradients(apart))).toBeLessThan(1e-5);
  });

  it('lets no token see another example: its loss and gradients keep every bit', async () => {
    const other = { ...first, tokens: first.tokens.map((token) => (token + 101) % 256) };
    const results = [];
    for (const neighbour of [first, other]) {
      const model = open();
      const batch = scoreOnly(packTiny([[neighbour, second]]), 1);
      const { lossSum } = await train(model, batch);
      results.push({ lossSum, gradients: gradientBytes(model) });
    }
    expect(results[0]?.lossSum).toBeGreaterThan(0);
    expect(results[0]).toEqual(results[1]);
  });

  it('is exact across blocks of queries, for short and for long examples', async () => {
    const long = {
      tokens: Array.from(noise('long', 300), (x) => Math.trunc((x + 1) * 128)),
      prompt: 9,
    };
    const model = open();
    for (const row of [
      [first, second, first, second, first],
      [second, long],
    ]) {
      let sum = 0;
      for (const example of row) sum += (await model.evaluate(packTiny([[example]], 320))).lossSum;
      const { lossSum } = await model.evaluate(packTiny([row], 384));
      expect(Math.abs(lossSum / sum - 1)).toBeLessThan(1e-5);
    }
  });

  it('gives the same sum however the rows of a batch are grouped', async () => {
    const model = open();
    const rows = Array.from({ length: 5 }, (_, i) => [examples[i] ?? first]);
    const { lossSum } = await model.evaluate(packTiny(rows));
    let sum = 0;
    for (const row of rows) sum += (await model.evaluate(packTiny([row]))).lossSum;
    expect(Math.abs(lossSum / sum - 1)).toBeLessThan(1e-6);
  });
});

describe('losses of examples', () => {
  const rowsApart = (rows: readonly (readonly TinyExample[])[]) =>
    rows.map((row) => Float64Array.from(row, (_, index) => index + 1));

  it('are those of each example alone', async () => {
    const model = open();
    const { exampleLosses, lossSum } = await model.evaluate(packed);
    expect(exampleLosses.map(({ length }) => length)).toEqual(tinyRows.map((row) => row.length));
    for (const [row, of] of tinyRows.entries()) {
      for (const [index, example] of of.entries()) {
        const alone = await model.evaluate(packTiny([[example]]));
        expect(Math.abs((exampleLosses[row]?.[index] ?? 0) / alone.lossSum - 1)).toBeLessThan(1e-5);
      }
    }
    const sum = exampleLosses.flatMap((row) => [...row]).reduce((total, loss) => total + loss, 0);
    expect(sum).toBeCloseTo(lossSum, 6);
  });

  it('choose how much each example teaches', async () => {
    const factors = rowsApart(tinyRows);
    const weighed = open();
    const seen: number[] = [];
    const result = await weighed.forwardBackward(packed, {
      lossScale: 1,
      step: 0,
      weigh: (losses, firstRow) => {
        seen.push(firstRow, ...losses.flatMap((row) => [...row]));
        return factors.slice(firstRow, firstRow + losses.length);
      },
    });
    const apart = open();
    for (const [row, of] of tinyRows.entries()) {
      for (const [index, example] of of.entries()) {
        const lossScale = factors[row]?.[index] ?? 0;
        await apart.forwardBackward(packTiny([[example]]), { lossScale, step: 0 });
      }
    }
    expect(relativeError(gradients(weighed), gradients(apart))).toBeLessThan(1e-5);
    expect(result).toEqual(await open().forwardBackward(packed, { lossScale: 1, step: 0 }));
    expect(seen).toEqual([0, ...result.exampleLosses.flatMap((row) => [...row])]);
  });

  it('with adapters off are those of the base', async () => {
    const model = open();
    const off = await model.evaluate(packed, { adapters: 'off' });
    expect(off.lossSum).toBe((await open({ lora: null }).evaluate(packed)).lossSum);
    expect(off.lossSum).not.toBe((await model.evaluate(packed)).lossSum);
  });
});

describe('exactness', () => {
  it.each([1, 2])('equal runs give equal bytes with %i threads', async (threads) => {
    const runs = [];
    for (let run = 0; run < 2; run++) {
      const model = open({ threads });
      const adam = createAdamW(model.parameters);
      for (let step = 0; step < 3; step++) {
        await train(model, packed, step);
        if (step < 2) adam.step(1e-2);
      }
      runs.push(gradientBytes(model));
    }
    expect(runs[0]).toBe(runs[1]);
  });

  it.each(['lora', 'full'])('%s: recomputing gives the same gradients', async (method) => {
    const lora = method === 'lora' ? tinyLora : null;
    const keeping = open({ lora });
    const recomputing = open({ lora, recompute: true });
    await train(keeping, packed);
    await train(recomputing, packed);
    expect(relativeError(gradients(recomputing), gradients(keeping))).toBeLessThan(1e-5);
  });

  it('rsLoRA scales by alpha over the root of the rank', async () => {
    const stable = open({ lora: { ...tinyLora, rank: 16, alpha: 8, use_rslora: true } });
    const plain = open({ lora: { ...tinyLora, rank: 16, alpha: 32 } });
    expect(await stable.evaluate(packed)).toEqual(await plain.evaluate(packed));
  });

  it('adds to gradients, and scales them', async () => {
    const once = open();
    await train(once, packed);
    const twice = open();
    for (const step of [0, 1]) await twice.forwardBackward(packed, { lossScale: 0.5, step });
    expect(relativeError(gradients(twice), gradients(once))).toBeLessThan(1e-5);
  });
});

describe('dropout', () => {
  const lora = { ...tinyLora, dropout: 0.2 };

  it('is drawn from step and pass alone, so a resumed run draws it again', async () => {
    const run = open({ lora });
    for (const step of [4, 5, 5]) await train(run, packed, step);
    const losses = [];
    for (const step of [5, 5]) losses.push((await train(run, packed, step)).lossSum);

    const resumed = open({ lora });
    await train(resumed, packed, 4);
    const again = [];
    for (const step of [5, 5, 5, 5]) again.push((await train(resumed, packed, step)).lossSum);
    expect(again.slice(2)).toEqual(losses);
    expect(new Set(again).size).toBe(4);
  });

  it('is off in evaluation', async () => {
    const dropping = await open({ lora }).evaluate(packed);
    expect(dropping).toEqual(await open().evaluate(packed));
  });

  it('has the gradient of the loss it gives', async () => {
    const batch = packTiny([[first, second]]);
    const model = open({ lora, recompute: true });
    await train(model, batch, 3);
    const analytic = model.parameters.map(({ grad }) => grad.slice());
    const directions = model.parameters.map(({ name, data }) => noise(`to ${name}`, data.length));
    const lossAt = async (offset: number): Promise<number> => {
      const moved = open({ lora });
      for (const [i, { data }] of moved.parameters.entries()) {
        data.set(data.map((x, j) => x + offset * (directions[i]?.[j] ?? 0)));
      }
      return (await train(moved, batch, 3)).lossSum;
    };
    const step = 2e-3;
    const difference = ((await lossAt(step)) - (await lossAt(-step))) / (2 * step);
    const products = analytic.flatMap((grad, i) =>
      [...grad].map((g, j) => g * (directions[i]?.[j] ?? 0)),
    );
    const slope = products.reduce((a, b) => a + b, 0);
    expect(Math.abs(difference - slope) / Math.hypot(...products)).toBeLessThan(2e-2);
  });
});

describe('training', () => {
  it.each(['lora', 'full'])('%s: the loss falls on a tiny set', async (method) => {
    const model = open({ lora: method === 'lora' ? tinyLora : null });
    const adam = createAdamW(model.parameters);
    const before = await model.evaluate(packed);
    for (let step = 0; step < 30; step++) {
      await model.forwardBackward(packed, { lossScale: 1 / before.weightSum, step });
      adam.step(2e-2);
    }
    const after = await model.evaluate(packed);
    expect(after.lossSum).toBeLessThan(0.5 * before.lossSum);
    expect(after.correct).toBeGreaterThan(0.5 * after.scored);
  });

  it('counts its parameters', () => {
    const { hidden_size: d, intermediate_size: f, vocab_size: vocabulary } = tinyConfig;
    const layer = d * (64 + 2 * 32) + 64 * d + 3 * d * f + 2 * d;
    expect(open().baseParameterCount).toBe(2 * layer + 2 * vocabulary * d + d);
  });
});

describe('misuse', () => {
  it('refuses token ids outside the vocabulary', async () => {
    const batch = { ...packed, tokens: packed.tokens.map(() => 256) };
    await expect(open().evaluate(batch)).rejects.toThrow('vocabulary size 256');
  });

  it('says so when used after close, which may be called twice', async () => {
    const model = open();
    await model.close();
    await model.close();
    await expect(model.evaluate(packed)).rejects.toMatchObject({ code: 'closed' });
  });
});
