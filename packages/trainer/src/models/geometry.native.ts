// Two layers of Llama 2 7B and of 70B in their exact geometry (widths, heads, 64 query heads on 8), with
// random 4-bit weights: the gradient of every adapter against finite differences of the loss.
import { afterEach, expect, it } from 'vitest';
import type { CausalLm } from './causal-lm.ts';
import { openFrozenBase } from './frozen-base.fake.ts';
import { everyTensor, isMatrix } from './model-tensors.ts';
import { modelSizes } from './sizes.ts';
import { noise, packTiny } from './tiny-model.fake.ts';
import { matrixBytes } from './weight-forms/frozen-matrix.ts';

let model: CausalLm | undefined;
afterEach(async () => {
  await model?.close();
});

const tokens = [...noise('tokens', 60)].map((x) => Math.trunc((x + 1) * 128));
const batch = packTiny([[{ tokens, prompt: 4 }]], 64);

it.each([
  ['llama-2-7b', 0.26],
  ['llama-2-70b', 1.1],
] as const)('two layers of %s', { timeout: 120_000 }, async (name, gigabytes) => {
  const config = { ...modelSizes[name], num_hidden_layers: 2, vocab_size: 256 };
  const base = await openFrozenBase({
    config,
    packed: true,
    typeOf: () => 'Q4_0',
    size: 0.15,
    threads: 2,
  });
  model = base.model;
  const frozen = everyTensor(base.tensors).filter(isMatrix);
  const bytes = frozen.reduce((sum, { matrix }) => sum + matrixBytes(matrix), 0);
  expect(bytes / 1e9).toBeLessThan(gigabytes);

  await model.forwardBackward(batch, { lossScale: 1, step: 0 });
  const directions = model.parameters.map(({ name: parameter, data }) =>
    noise(`to ${parameter}`, data.length),
  );
  const products = model.parameters.map(({ grad }, i) =>
    grad.reduce((sum, g, j) => sum + g * (directions[i]?.[j] ?? 0), 0),
  );
  const step = 5e-4;
  const moveBy = (distance: number): void => {
    for (const [i, { data }] of model?.parameters.entries() ?? []) {
      const direction = directions[i] ?? new Float32Array();
      for (let j = 0; j < data.length; j++)
        data[j] = (data[j] ?? 0) + distance * (direction[j] ?? 0);
    }
  };
  moveBy(step);
  const { lossSum: after } = await model.evaluate(batch);
  moveBy(-2 * step);
  const { lossSum: before } = await model.evaluate(batch);
  const slope = products.reduce((sum, product) => sum + product, 0);
  expect(Math.abs((after - before) / (2 * step) - slope) / Math.hypot(...products)).toBeLessThan(
    2e-2,
  );
});
