// A language model small enough to test everything around it: a bigram table, frozen and made by a
// hash, plus a low-rank change that is trained. Its gradients are real; its names are PEFT's.
import { CorralError } from '@corral/contracts';
import type { ModelConfig } from '@corral/formats';
import { draw } from '../data/order.ts';
import type {
  BatchResult,
  CausalLm,
  PackedBatch,
  Parameter,
  WeighExamples,
} from '../models/causal-lm.ts';
import { scaleByExample, sumByExample } from '../models/example-values.ts';

const rank = 4;

export const fakeModelConfig = (vocabularySize: number): ModelConfig => ({
  architecture: 'llama',
  vocab_size: vocabularySize,
  hidden_size: vocabularySize,
  intermediate_size: 8,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 2,
  head_dim: vocabularySize / 2,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  rope_scaling: null,
  max_position_embeddings: 256,
  tie_word_embeddings: true,
  attention_bias: false,
  qk_norm: false,
  sliding_window: null,
  bos_token_id: null,
  eos_token_id: null,
  pad_token_id: null,
});

const parameter = (name: string, shape: readonly [number, number], fill: (i: number) => number) => {
  const data = Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => fill(i));
  return { name, shape, data, grad: new Float32Array(data.length) } satisfies Parameter;
};

export interface FakeModelOptions {
  readonly vocabularySize: number;
  readonly seed: number;
  /** Called before each forwardBackward; may throw or spoil the weights. */
  readonly onBatch?: (parameters: readonly Parameter[]) => void;
}

interface Bigram {
  readonly V: number;
  readonly a: Parameter;
  readonly b: Parameter;
  readonly base: Float32Array;
}

/** logits(next | token) = base[token] + B · A[:, token]; A is [r, V], B is [V, r] and starts at 0. */
function logitsOf({ V, a, b, base }: Bigram, token: number): Float32Array {
  const logits = base.slice(token * V, (token + 1) * V);
  for (let next = 0; next < V; next += 1) {
    for (let r = 0; r < rank; r += 1) {
      logits[next] =
        (logits[next] ?? 0) + (b.data[next * rank + r] ?? 0) * (a.data[r * V + token] ?? 0);
    }
  }
  return logits;
}

function softmax(logits: Float32Array) {
  const max = logits.reduce((best, value) => Math.max(best, value), -Infinity);
  const exponentials = logits.map((value) => Math.exp(value - max));
  const sum = exponentials.reduce((total, value) => total + value, 0);
  return { probabilities: exponentials.map((value) => value / sum), logSum: max + Math.log(sum) };
}

/** Adds the gradients of A and B from that of the logits. */
function backward({ V, a, b }: Bigram, token: number, gradient: Float32Array): void {
  for (let next = 0; next < V; next += 1) {
    const g = gradient[next] ?? 0;
    for (let r = 0; r < rank; r += 1) {
      const bAt = next * rank + r;
      const aAt = r * V + token;
      b.grad[bAt] = (b.grad[bAt] ?? 0) + g * (a.data[aAt] ?? 0);
      a.grad[aAt] = (a.grad[aAt] ?? 0) + g * (b.data[bAt] ?? 0);
    }
  }
}

/** `lossScale` null only measures. */
function pass(bigram: Bigram, batch: PackedBatch, lossScale: number | null): BatchResult {
  const result = { lossSum: 0, weightSum: 0, correct: 0, scored: 0, tokens: 0 };
  const losses = new Float32Array(batch.tokens.length);
  batch.segments.forEach((segment, at) => {
    if (segment >= 0) result.tokens += 1;
    const weight = batch.weights[at] ?? 0;
    if (weight === 0) return;
    const [token, target] = [batch.tokens[at] ?? 0, batch.targets[at] ?? 0];
    const logits = logitsOf(bigram, token);
    const { probabilities, logSum } = softmax(logits);
    losses[at] = logSum - (logits[target] ?? 0);
    result.lossSum += weight * (losses[at] ?? 0);
    result.weightSum += weight;
    result.scored += 1;
    if (logits.indexOf(Math.max(...logits)) === target) result.correct += 1;
    if (lossScale === null) return;
    probabilities[target] = (probabilities[target] ?? 0) - 1;
    backward(
      bigram,
      token,
      probabilities.map((value) => value * weight * lossScale),
    );
  });
  return { ...result, exampleLosses: sumByExample(batch, losses) };
}

/** The base alone. */
const withoutChange = (bigram: Bigram): Bigram => ({
  ...bigram,
  b: { ...bigram.b, data: new Float32Array(bigram.b.data.length) },
});

/** As `pass`, the weights chosen when the losses are known. */
function weighedPass(
  bigram: Bigram,
  batch: PackedBatch,
  { lossScale, weigh }: { readonly lossScale: number; readonly weigh: WeighExamples },
): BatchResult {
  const measured = pass(bigram, batch, null);
  const weights = scaleByExample(batch, weigh(measured.exampleLosses, 0));
  pass(bigram, { ...batch, weights }, lossScale);
  return measured;
}

export function createFakeModel({ vocabularySize: V, seed, onBatch }: FakeModelOptions): CausalLm {
  const unit = (i: number, salt: number): number => draw(seed, salt, i) / 2 ** 31 - 1;
  const layer = 'base_model.model.model.layers.0.self_attn.q_proj';
  const a = parameter(`${layer}.lora_A.weight`, [rank, V], (i) => unit(i, 1) * 0.5);
  const b = parameter(`${layer}.lora_B.weight`, [V, rank], () => 0);
  const base = Float32Array.from({ length: V * V }, (_, i) => unit(i, 2));
  const bigram = { V, a, b, base };
  let closed = false;
  const close = (): Promise<void> => {
    closed = true;
    return Promise.resolve();
  };
  const requireOpen = (): void => {
    if (closed) throw new CorralError('closed', { params: { what: 'model' } });
  };
  return {
    config: fakeModelConfig(V),
    parameters: [a, b],
    baseParameterCount: V * V,
    forwardBackward: async (batch, { lossScale, weigh }) => {
      requireOpen();
      onBatch?.([a, b]);
      return weigh
        ? weighedPass(bigram, batch, { lossScale, weigh })
        : pass(bigram, batch, lossScale);
    },
    evaluate: async (batch, { adapters = 'on' } = {}) => {
      requireOpen();
      return pass(adapters === 'on' ? bigram : withoutChange(bigram), batch, null);
    },
    nextTokenLogits: (tokens, from) =>
      Promise.resolve([...tokens.subarray(from)].map((token) => logitsOf(bigram, token))),
    close,
    [Symbol.asyncDispose]: close,
  };
}
