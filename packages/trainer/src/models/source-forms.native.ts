// The same weights in every form a model comes in: shards of F32, F16 or BF16 with config.json as
// transformers 4 or 5 writes it, and GGUF. Weights are short binary fractions, so each form holds them
// exactly and the logits must agree.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type ModelConfig,
  convertFolderToGguf,
  expectedTensors,
  modelConfigToJson,
  quantise,
  writeSafetensorsFolder,
} from '@corral/formats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { byteLevelFiles } from '../data/tokenizer.fake.ts';
import { openCausalLm } from './open-causal-lm.ts';
import { noise, tinyConfig, tinyLora } from './tiny-model.fake.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'corral-forms-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const base: ModelConfig = { ...tinyConfig, vocab_size: 264, num_hidden_layers: 1 };
const cases: Record<string, ModelConfig> = {
  llama: {
    ...base,
    tie_word_embeddings: true,
    rope_scaling: {
      type: 'llama3',
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 64,
    },
  },
  'llama, linear': { ...base, rope_scaling: { type: 'linear', factor: 2 } },
  'llama, yarn': {
    ...base,
    rope_scaling: {
      type: 'yarn',
      factor: 4,
      original_max_position_embeddings: 16,
      beta_fast: 32,
      beta_slow: 1,
      attention_factor: 0.1 * Math.log(4) + 1,
      truncate: true,
    },
  },
  mistral: { ...base, architecture: 'mistral', sliding_window: 8 },
  qwen2: { ...base, architecture: 'qwen2', attention_bias: true },
  qwen3: { ...base, architecture: 'qwen3', qk_norm: true },
};

/** A multiple of 1/128 below 1/8: five significant bits. */
const weights = (name: string, count: number): Float32Array =>
  noise(name, count).map((x) => Math.round(16 * x) / 128 + Number(name.includes('norm')));

/** config.json in the form of transformers 5. */
function version5(json: Record<string, unknown>): Record<string, unknown> {
  const { rope_theta, rope_scaling, torch_dtype, ...rest } = json;
  const scaling = (rope_scaling ?? { rope_type: 'default' }) as Record<string, unknown>;
  return { ...rest, dtype: torch_dtype, rope_parameters: { rope_theta, ...scaling } };
}

interface Form {
  readonly dtype: 'F32' | 'F16' | 'BF16';
  readonly version: 4 | 5;
  readonly shardBytes: number;
}

async function writeFolder(name: string, config: ModelConfig, form: Form): Promise<string> {
  const place = join(folder, name);
  await mkdir(place, { recursive: true });
  const json = modelConfigToJson(config, 'float32');
  await writeFile(
    join(place, 'config.json'),
    JSON.stringify(form.version === 5 ? version5(json) : json),
  );
  const { tokenizerJson, tokenizerConfig } = byteLevelFiles();
  await writeFile(join(place, 'tokenizer.json'), JSON.stringify(tokenizerJson));
  await writeFile(join(place, 'tokenizer_config.json'), JSON.stringify(tokenizerConfig));
  const tensors = [...expectedTensors(config)].map(([tensor, shape]) => {
    const count = shape.reduce((all, size) => all * size, 1);
    const data = quantise(form.dtype, weights(tensor, count));
    return { name: tensor, shape, dtype: form.dtype, data };
  });
  await writeSafetensorsFolder(place, { tensors }, { shardBytes: form.shardBytes });
  return place;
}

const tokens = Int32Array.from(noise('tokens', 20), (x) => Math.trunc((x + 1) * 128));

async function logitsOf(path: string): Promise<Float32Array[]> {
  const options = { method: 'lora', lora: tinyLora, seed: 1, threads: 1, device: 'cpu' } as const;
  await using model = await openCausalLm({ path, ...options });
  return await model.nextTokenLogits(tokens, 0);
}

const largestDifference = (found: readonly Float32Array[], expected: readonly Float32Array[]) =>
  Math.max(
    ...found.flatMap((row, at) => [...row].map((x, i) => Math.abs(x - (expected[at]?.[i] ?? NaN)))),
  );

describe.each(Object.entries(cases))('%s', (name, config) => {
  it('has the same logits from every form', async () => {
    const whole = { shardBytes: 1e9 } as const;
    const sharded = { shardBytes: 20_000 } as const;
    const path = await writeFolder(`${name} 32`, config, { dtype: 'F32', version: 4, ...whole });
    const expected = await logitsOf(path);
    expect(Math.hypot(...expected.flatMap((row) => [...row]))).toBeGreaterThan(1);

    const half = await writeFolder(`${name} 16`, config, { dtype: 'F16', version: 5, ...sharded });
    const brain = await writeFolder(`${name} b`, config, { dtype: 'BF16', version: 5, ...sharded });
    const file = join(folder, `${name}.gguf`);
    await convertFolderToGguf(brain, file, { form: 'BF16' });
    for (const other of [half, brain]) expect(await logitsOf(other)).toEqual(expected);
    // The scaling of Llama 3 stands in a GGUF as float32 factors.
    expect(largestDifference(await logitsOf(file), expected)).toBeLessThan(1e-5);
  });
});
