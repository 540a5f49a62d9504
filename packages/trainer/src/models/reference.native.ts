// Losses, gradients and AdamW steps against PyTorch, transformers and PEFT, for every knob of the
// architecture. reference/make-expected.py made the numbers and explains fingerprints.
import { readFileSync } from 'node:fs';
import type { Architecture, ModelConfig } from '@corral/formats';
import { describe, expect, it } from 'vitest';
import { createAdamW } from '../optim/adamw.ts';
import { clipGradients } from '../optim/clip-gradients.ts';
import {
  noise,
  openTinyModel,
  packTiny,
  tinyConfig,
  tinyLora,
  tinyRows,
} from './tiny-model.fake.ts';

type Fingerprint = readonly [norm: number, a: number, b: number];
interface Measured {
  readonly loss_sums: readonly number[];
  readonly scored: number;
  readonly gradients: Readonly<Record<string, Fingerprint>>;
  readonly steps: readonly { readonly loss: number; readonly grad_norm: number }[];
}
interface Expected {
  readonly logits: readonly Fingerprint[];
  readonly lora: Measured;
  readonly full: Measured;
}

const llama3 = {
  type: 'llama3',
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 64,
} as const;
const yarn = {
  type: 'yarn',
  factor: 4,
  original_max_position_embeddings: 64,
  beta_fast: 32,
  beta_slow: 1,
  attention_factor: 0.1 * Math.log(4) + 1,
  truncate: true,
} as const;
const knobs = (architecture: Architecture, rest: Partial<ModelConfig>): ModelConfig => ({
  ...tinyConfig,
  architecture,
  ...rest,
});
const cases = {
  'llama-tied': knobs('llama', { tie_word_embeddings: true }),
  'llama-untied-rope-scaled': knobs('llama', { rope_scaling: llama3 }),
  qwen2: knobs('qwen2', { tie_word_embeddings: true, attention_bias: true }),
  qwen3: knobs('qwen3', { qk_norm: true }),
  'mistral-window': knobs('mistral', { sliding_window: 24 }),
  'llama-linear-rope': knobs('llama', { rope_scaling: { type: 'linear', factor: 4 } }),
  'qwen25-yarn': knobs('qwen2', {
    tie_word_embeddings: true,
    attention_bias: true,
    rope_scaling: yarn,
  }),
  'llama-yarn-knobs': knobs('llama', {
    rope_scaling: {
      ...yarn,
      beta_fast: 8,
      beta_slow: 2,
      attention_factor: 1.3,
      truncate: false,
    },
  }),
  'llama2-7b': knobs('llama', { num_key_value_heads: 4 }),
  'llama2-70b': knobs('llama', { num_attention_heads: 8, num_key_value_heads: 1, head_dim: 8 }),
  llama32: knobs('llama', {
    tie_word_embeddings: true,
    rope_theta: 500_000,
    rope_scaling: { ...llama3, factor: 32 },
  }),
  tinyllama: knobs('llama', {
    num_attention_heads: 8,
    num_key_value_heads: 1,
    head_dim: 8,
    intermediate_size: 176,
  }),
  smollm2: knobs('llama', {
    tie_word_embeddings: true,
    hidden_size: 48,
    num_attention_heads: 3,
    num_key_value_heads: 1,
    rope_theta: 100_000,
  }),
  mistral: knobs('mistral', { rope_theta: 1_000_000 }),
  qwen25: knobs('qwen2', { attention_bias: true, rms_norm_eps: 1e-6, rope_theta: 1_000_000 }),
  'qwen3-tied': knobs('qwen3', {
    qk_norm: true,
    tie_word_embeddings: true,
    head_dim: 32,
    rope_theta: 1_000_000,
  }),
};

const fingerprint = (name: string, values: Float32Array): Fingerprint => {
  const product = (salt: string): number => {
    const other = noise(`${salt} ${name}`, values.length);
    return values.reduce((sum, x, i) => sum + x * (other[i] ?? 0), 0);
  };
  return [Math.hypot(...values), product('a'), product('b')];
};

/** Largest difference, relative to the norm. */
const distance = (found: Fingerprint, expected: Fingerprint): number =>
  Math.max(...found.map((value, i) => Math.abs(value - (expected[i] ?? 0)))) / expected[0];

const read = (name: string): Expected =>
  JSON.parse(
    readFileSync(new URL(`../../reference/expected/${name}.json`, import.meta.url), 'utf8'),
  ) as Expected;

describe.each(Object.entries(cases))('%s', (name, config) => {
  const expected = read(name);
  const everything = packTiny(tinyRows);

  it('gives the logits of transformers', async () => {
    await using model = openTinyModel({ config, lora: null });
    const tokens = Int32Array.from(tinyRows[0]?.[0]?.tokens ?? []);
    const logits = await model.nextTokenLogits(tokens, 0);
    expect(logits).toHaveLength(expected.logits.length);
    for (const [i, fingerprintOfRow] of expected.logits.entries()) {
      const found = fingerprint(`logits ${i}`, logits[i] ?? new Float32Array());
      expect(distance(found, fingerprintOfRow)).toBeLessThan(1e-4);
    }
  });

  it.each(['lora', 'full'] as const)('%s: losses, gradients and AdamW steps', async (method) => {
    const { loss_sums, scored, gradients, steps: adamSteps } = expected[method];
    await using model = openTinyModel({ config, lora: method === 'lora' ? tinyLora : null });
    expect(model.parameters.map((parameter) => parameter.name).toSorted()).toEqual(
      Object.keys(gradients).toSorted(),
    );

    for (const [i, example] of tinyRows.flat().entries()) {
      const { lossSum } = await model.evaluate(packTiny([[example]]));
      expect(Math.abs(lossSum / (loss_sums[i] ?? 0) - 1)).toBeLessThan(1e-5);
    }
    const total = loss_sums.reduce((a, b) => a + b, 0);
    const step = (index: number) =>
      model.forwardBackward(everything, { lossScale: 1 / scored, step: index });
    const result = await step(0);
    expect(result).toMatchObject({
      weightSum: scored,
      scored,
      tokens: tinyRows.flat().flatMap(({ tokens }) => tokens).length,
    });
    expect(Math.abs(result.lossSum / total - 1)).toBeLessThan(1e-5);
    for (const { name: parameter, grad } of model.parameters) {
      const error = distance(
        fingerprint(parameter, grad),
        gradients[parameter] ?? [Number.NaN, 0, 0],
      );
      expect({ parameter, close: error < 1e-4 }).toEqual({ parameter, close: true });
      grad.fill(0);
    }

    const adam = createAdamW(model.parameters, { weightDecay: 0.1 });
    for (const [i, wanted] of adamSteps.entries()) {
      const { lossSum } = await step(i);
      expect(Math.abs(lossSum / scored / wanted.loss - 1)).toBeLessThan(1e-4);
      const norm = clipGradients(model.parameters, 1);
      expect(Math.abs(norm / wanted.grad_norm - 1)).toBeLessThan(1e-4);
      adam.step(0.01);
    }
  });
});
