// Losses, gradients and AdamW steps against PyTorch, transformers and PEFT, for every knob of the
// architecture. reference/make-expected.py made the numbers and explains fingerprints.
import { readFileSync } from 'node:fs';
import { loraTargets } from '@corral/contracts';
import type { Architecture, ModelConfig } from '@corral/formats';
import { describe, expect, it } from 'vitest';
import { createAdamW } from '../optim/adamw.ts';
import { clipGradients } from '../optim/clip-gradients.ts';
import { createRuntime } from '../runtime/runtime.ts';
import type { CausalLm, LoraOptions, PackedBatch } from './causal-lm.ts';
import { allTensors, allocateTensors, partsOf } from './model-tensors.ts';
import { createTransformerLm } from './transformer-lm.ts';

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

const base: ModelConfig = {
  architecture: 'llama',
  vocab_size: 256,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  rope_scaling: null,
  max_position_embeddings: 512,
  tie_word_embeddings: false,
  attention_bias: false,
  qk_norm: false,
  sliding_window: null,
  bos_token_id: null,
  eos_token_id: null,
  pad_token_id: null,
};
const llama3 = {
  type: 'llama3',
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 64,
} as const;
const knobs = (architecture: Architecture, rest: Partial<ModelConfig>): ModelConfig => ({
  ...base,
  architecture,
  ...rest,
});
const cases = {
  'llama-tied': knobs('llama', { tie_word_embeddings: true }),
  'llama-untied-rope-scaled': knobs('llama', { rope_scaling: llama3 }),
  qwen2: knobs('qwen2', { tie_word_embeddings: true, attention_bias: true }),
  qwen3: knobs('qwen3', { qk_norm: true }),
  'mistral-window': knobs('mistral', { sliding_window: 24 }),
};

const rowLengths = [
  [40, 51, 23],
  [97, 9],
];
const steps = 128;
const lora: LoraOptions = { rank: 4, alpha: 8, dropout: 0, target_modules: [...loraTargets] };

const fnv1a = (name: string): number =>
  Array.from(name).reduce((hash, c) => Math.imul(hash ^ c.charCodeAt(0), 0x01000193), 0x811c9dc5);

/** noise() of make-expected.py. */
const noise = (name: string, count: number): Float32Array => {
  const seed = fnv1a(name);
  return Float32Array.from({ length: count }, (_, i) => {
    let x = (Math.imul(i, 0x9e3779b1) + seed) | 0;
    x ^= x >>> 16;
    x = Math.imul(x, 0x7feb352d);
    x ^= x >>> 15;
    x = Math.imul(x, 0x846ca68b);
    x ^= x >>> 16;
    return (x >>> 8) * 2 ** -23 - 1;
  });
};

/** weight() of make-expected.py, in float32 as there. */
const fillWeight = (name: string, shape: readonly number[], data: Float32Array): void => {
  const size = Math.fround(shape.length === 1 || name.includes('lora_') ? 0.2 : 0.15);
  const norm = name.includes('norm');
  data.set(noise(name, data.length).map((x) => (norm ? 1 + 0.25 * x : size * x)));
};

const openTiny = (config: ModelConfig, method: 'lora' | 'full', recompute = false): CausalLm => {
  const adapters = method === 'lora' ? lora : null;
  const tensors = allocateTensors(config, adapters);
  for (const { name, shape, data } of allTensors(tensors).flatMap(partsOf)) {
    fillWeight(name, shape, data);
  }
  const runtime = createRuntime({ device: 'cpu', threads: 1 });
  return createTransformerLm({ config, tensors, lora: adapters, seed: 0, recompute, runtime });
};

const exampleTokens = (row: number, index: number, length: number): number[] =>
  [...noise(`example ${row} ${index}`, length)].map((x) => Math.trunc((x + 1) * 128));

interface Example {
  readonly tokens: readonly number[];
  readonly prompt: number;
}
const rows: readonly (readonly Example[])[] = rowLengths.map((lengths, row) =>
  lengths.map((length, index) => ({
    tokens: exampleTokens(row, index, length),
    prompt: Math.floor(length / 3),
  })),
);

const pack = (packed: readonly (readonly Example[])[]): PackedBatch => {
  const size = packed.length * steps;
  const batch = {
    rows: packed.length,
    seqLen: steps,
    tokens: new Int32Array(size),
    targets: new Int32Array(size),
    weights: new Float32Array(size),
    positions: new Int32Array(size),
    segments: new Int32Array(size).fill(-1),
  };
  for (const [row, list] of packed.entries()) {
    let at = row * steps;
    for (const [segment, { tokens, prompt }] of list.entries()) {
      for (const [i, token] of tokens.entries()) {
        batch.tokens[at + i] = token;
        batch.targets[at + i] = tokens[i + 1] ?? 0;
        batch.weights[at + i] = Number(i >= prompt - 1 && i < tokens.length - 1);
        batch.positions[at + i] = i;
        batch.segments[at + i] = segment;
      }
      at += tokens.length;
    }
  }
  return batch;
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
  const everything = pack(rows);

  it('gives the logits of transformers', async () => {
    await using model = openTiny(config, 'full');
    const tokens = Int32Array.from(rows[0]?.[0]?.tokens ?? []);
    const logits = await model.nextTokenLogits(tokens, 0);
    expect(logits).toHaveLength(expected.logits.length);
    for (const [i, fingerprintOfRow] of expected.logits.entries()) {
      const found = fingerprint(`logits ${i}`, logits[i] ?? new Float32Array());
      expect(distance(found, fingerprintOfRow)).toBeLessThan(1e-4);
    }
  });

  it.each(['lora', 'full'] as const)('%s: losses, gradients and AdamW steps', async (method) => {
    const { loss_sums, scored, gradients, steps: adamSteps } = expected[method];
    await using model = openTiny(config, method);
    expect(model.parameters.map((parameter) => parameter.name).toSorted()).toEqual(
      Object.keys(gradients).toSorted(),
    );

    for (const [i, example] of rows.flat().entries()) {
      const { lossSum } = await model.evaluate(pack([[example]]));
      expect(Math.abs(lossSum / (loss_sums[i] ?? 0) - 1)).toBeLessThan(1e-5);
    }
    const total = loss_sums.reduce((a, b) => a + b, 0);
    const step = (index: number) =>
      model.forwardBackward(everything, { lossScale: 1 / scored, step: index });
    const result = await step(0);
    expect(result).toMatchObject({
      weightSum: scored,
      scored,
      tokens: rowLengths.flat().reduce((a, b) => a + b),
    });
    expect(Math.abs(result.lossSum / total - 1)).toBeLessThan(1e-5);
    for (const { name: parameter, grad } of model.parameters) {
      const error = distance(
        fingerprint(parameter, grad),
        gradients[parameter] ?? [Number.NaN, 0, 0],
      );
      expect(error, parameter).toBeLessThan(1e-4);
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
