// Opening a model: from a shape alone, and every way in which a path or an option can be wrong.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadBase } from './load-tensors.ts';
import { allTensors, allocateTensors, partsOf } from './model-tensors.ts';
import type { OpenCausalLmOptions } from './causal-lm.ts';
import { openCausalLm } from './open-causal-lm.ts';
import { packTiny, tinyConfig, tinyLora, tinyRows } from './tiny-model.fake.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'corral-open-'));
  const config = {
    ...tinyConfig,
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_act: 'silu',
  };
  await writeFile(join(folder, 'config.json'), JSON.stringify(config));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const options = (more: Partial<OpenCausalLmOptions> = {}): OpenCausalLmOptions => ({
  path: folder,
  method: 'full',
  lora: tinyLora,
  seed: 7,
  threads: 1,
  device: 'auto',
  ...more,
});

describe('openCausalLm', () => {
  it('draws the weights of a folder that has only a shape, by seed', async () => {
    const losses = [];
    for (const seed of [7, 7, 8]) {
      await using model = await openCausalLm(options({ seed }));
      const { lossSum, weightSum } = await model.evaluate(packTiny(tinyRows));
      losses.push(lossSum / weightSum);
    }
    expect(losses[0]).toBe(losses[1]);
    expect(losses[0]).not.toBe(losses[2]);
    expect(losses[0]).toBeCloseTo(Math.log(tinyConfig.vocab_size), 1);
  });

  it('starts LoRA where the base is: only adapters train, and they change nothing yet', async () => {
    await using full = await openCausalLm(options());
    await using lora = await openCausalLm(options({ method: 'lora' }));
    const batch = packTiny(tinyRows);
    expect(await lora.evaluate(batch)).toEqual(await full.evaluate(batch));
    expect(lora.parameters).toHaveLength(2 * 7 * tinyConfig.num_hidden_layers);
    for (const { name, shape, data } of lora.parameters) {
      const largest = Math.max(...data.map(Math.abs));
      const bound = name.includes('lora_A') ? 1 / Math.sqrt(shape[1] ?? 1) : 0;
      expect(largest).toBeLessThanOrEqual(bound);
      expect(largest).toBeGreaterThanOrEqual(0.9 * bound);
    }
  });

  it('trains only the targets asked for', async () => {
    const lora = { ...tinyLora, target_modules: ['v_proj', 'q_proj'] as const };
    await using model = await openCausalLm(options({ method: 'lora', lora }));
    expect(model.parameters.slice(0, 4).map(({ name }) => name)).toEqual(
      ['q_proj.lora_A', 'q_proj.lora_B', 'v_proj.lora_A', 'v_proj.lora_B'].map(
        (name) => `base_model.model.model.layers.0.self_attn.${name}.weight`,
      ),
    );
    await model.forwardBackward(packTiny(tinyRows), { lossScale: 1, step: 0 });
    for (const { name, grad } of model.parameters) {
      expect(grad.some((x) => x !== 0)).toBe(name.includes('lora_B'));
    }
  });

  it.each([
    ['a path that is not there', { path: '/no/such/model' }, 'file_not_found'],
    ['a device this machine has not', { device: 'directml' }, 'native_library_missing'],
    ['a device nobody knows', { device: 'abacus' }, 'native_library_missing'],
  ])('refuses %s', async (_, more, code) => {
    await expect(openCausalLm(options(more))).rejects.toMatchObject({ code });
  });

  it('refuses LoRA without its section', async () => {
    const { lora: _, ...rest } = options({ method: 'lora' });
    await expect(openCausalLm(rest)).rejects.toMatchObject({ code: 'config_invalid' });
  });

  it('refuses a file that is no model', async () => {
    const path = join(folder, 'model.gguf');
    await writeFile(path, 'not a model at all, whatever its name says');
    await expect(openCausalLm(options({ path }))).rejects.toMatchObject({ name: 'CorralError' });
    await rm(path);
  });
});

describe('loadBase', () => {
  it.each([Number.NaN, Infinity, -Infinity])('names a tensor that holds %d', async (broken) => {
    const tensors = allocateTensors(tinyConfig, null);
    const bad = 'model.layers.1.mlp.up_proj.weight';
    const lengths = new Map(
      allTensors(tensors)
        .flatMap(partsOf)
        .map(({ name, data }) => [name, data.length]),
    );
    const readFloats = (name: string) => {
      const values = new Float32Array(lengths.get(name) ?? 0);
      if (name === bad) values[5] = broken;
      return Promise.resolve(values);
    };
    await expect(loadBase(tensors, { readFloats })).rejects.toMatchObject({
      code: 'non_finite_weights',
      params: { tensor: bad },
    });
  });
});
