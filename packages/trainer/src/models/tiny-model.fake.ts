// A tiny model for tests, with weights from the formula of reference/make-expected.py, and its examples.
import { loraTargets } from '@corral/contracts';
import type { ModelConfig } from '@corral/formats';
import { createRuntime } from '../runtime/runtime.ts';
import type { CausalLm, LoraOptions, PackedBatch } from './causal-lm.ts';
import { allTensors, allocateTensors, partsOf } from './model-tensors.ts';
import { createTransformerLm } from './transformer-lm.ts';

export const tinyConfig: ModelConfig = {
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

export const tinyLora: LoraOptions = {
  rank: 4,
  alpha: 8,
  dropout: 0,
  target_modules: [...loraTargets],
};

const fnv1a = (name: string): number =>
  Array.from(name).reduce((hash, c) => Math.imul(hash ^ c.charCodeAt(0), 0x01000193), 0x811c9dc5);

/** Numbers in [-1, 1) that depend on the name and the index only. */
export const noise = (name: string, count: number): Float32Array => {
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

/** weight() of make-expected.py. */
const fillWeight = (name: string, shape: readonly number[], data: Float32Array): void => {
  const size = Math.fround(shape.length === 1 || name.includes('lora_') ? 0.2 : 0.15);
  const norm = name.includes('norm');
  data.set(noise(name, data.length).map((x) => (norm ? 1 + 0.25 * x : size * x)));
};

export interface TinyOptions {
  readonly config?: ModelConfig;
  /** Null trains everything. */
  readonly lora?: LoraOptions | null;
  readonly recompute?: boolean;
  readonly threads?: number;
}

export const openTinyModel = ({
  config = tinyConfig,
  lora = tinyLora,
  recompute = false,
  threads = 1,
}: TinyOptions = {}): CausalLm => {
  const tensors = allocateTensors(config, lora);
  for (const { name, shape, data } of allTensors(tensors).flatMap(partsOf)) {
    fillWeight(name, shape, data);
  }
  const runtime = createRuntime({ device: 'cpu', threads });
  return createTransformerLm({ config, tensors, lora, seed: 0, recompute, runtime });
};

export interface TinyExample {
  readonly tokens: readonly number[];
  /** Tokens at the start that are not scored. */
  readonly prompt: number;
}

/** The examples of make-expected.py, as it packs them: two rows. */
export const tinyRows: readonly (readonly TinyExample[])[] = [
  [40, 51, 23],
  [97, 9],
].map((lengths, row) =>
  lengths.map((length, index) => ({
    tokens: [...noise(`example ${row} ${index}`, length)].map((x) => Math.trunc((x + 1) * 128)),
    prompt: Math.floor(length / 3),
  })),
);

/** One row of the batch for each list of examples. */
export const packTiny = (rows: readonly (readonly TinyExample[])[], seqLen = 128): PackedBatch => {
  const size = rows.length * seqLen;
  const batch = {
    rows: rows.length,
    seqLen,
    tokens: new Int32Array(size),
    targets: new Int32Array(size),
    weights: new Float32Array(size),
    positions: new Int32Array(size),
    segments: new Int32Array(size).fill(-1),
  };
  for (const [row, examples] of rows.entries()) {
    let at = row * seqLen;
    for (const [segment, { tokens, prompt }] of examples.entries()) {
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
