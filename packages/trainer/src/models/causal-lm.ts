// The seam between a training method and a model: a causal language model that takes packed batches,
// adds gradients into plain arrays and answers logits. Knows neither data files, optimisers nor how
// the maths is run; recipes and checkpoints see a model through this file alone.
import type { LoraTarget } from '@corral/contracts';
import type { ModelConfig } from '@corral/formats';

/**
 * Rows of packed examples. Attention is exact: a token sees the earlier tokens of its own example and
 * nothing else, so an example's loss does not depend on what it is packed with.
 */
export interface PackedBatch {
  /** B */
  readonly rows: number;
  /** T, a multiple of 64; graphs are kept for each shape, so use few different shapes. */
  readonly seqLen: number;
  /** [B * T] token ids; any valid id where `segments` is -1. */
  readonly tokens: Int32Array;
  /** [B * T] already shifted: the target of position t is the token at t + 1 of the same example. */
  readonly targets: Int32Array;
  /** [B * T] loss weight of each target; 0 = not scored (prompt, padding, last token of an example). */
  readonly weights: Float32Array;
  /** [B * T] position inside its example, from 0. */
  readonly positions: Int32Array;
  /** [B * T] index of the example inside its row; each index is one contiguous run; -1 = padding. */
  readonly segments: Int32Array;
}

export interface BatchResult {
  /** Sum over scored targets of weight × negative log-likelihood (natural log). */
  readonly lossSum: number;
  readonly weightSum: number;
  /** Scored targets that the model ranks first. */
  readonly correct: number;
  readonly scored: number;
  /** Tokens of the batch without padding. */
  readonly tokens: number;
  /** Row by row, example by example: its part of lossSum. Of DPO and its like: −log π(y | x). */
  readonly exampleLosses: ExampleValues;
}

/** A number for each example of a batch: [row][index in the row]. */
export type ExampleValues = readonly Float64Array[];

/**
 * Factors for the loss weights of each example, chosen when the examples' losses are known and before they
 * are differentiated: what a loss needs that is a function of whole examples. Called once for each group of
 * rows that is worked on together; `firstRow` is the group's first row in the batch.
 */
export type WeighExamples = (losses: ExampleValues, firstRow: number) => ExampleValues;

/** A trainable tensor. `data` and `grad` are the model's own arrays: optimisers write `data` in place. */
export interface Parameter {
  /** PEFT's name for LoRA (`base_model.model.….lora_A.weight`), Hugging Face's for full training. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
  readonly grad: Float32Array;
}

interface BackwardOptions {
  readonly lossScale: number;
  readonly step: number;
  readonly weigh?: WeighExamples;
}

export interface EvaluateOptions {
  /** Default on. */
  readonly adapters?: 'on' | 'off';
}

export interface CausalLm extends AsyncDisposable {
  readonly config: ModelConfig;
  readonly parameters: readonly Parameter[];
  /** Parameters of the base model (tied embeddings counted once). */
  readonly baseParameterCount: number;
  /**
   * Adds lossScale · d(lossSum)/dθ to the gradient of each parameter; with `weigh`, of the sum over examples
   * of factor · loss, the factors held constant. The result is that of the weights as given. `step`
   * (optimiser step) and the number of calls made in that step seed the dropout masks, so a resumed run
   * draws the same ones.
   */
  forwardBackward(batch: PackedBatch, options: BackwardOptions): Promise<BatchResult>;
  /** The loss without gradients and without dropout; with adapters off, that of the base model. */
  evaluate(batch: PackedBatch, options?: EvaluateOptions): Promise<BatchResult>;
  /** Logits [vocab] for each position from..tokens.length-1 of one example. */
  nextTokenLogits(tokens: Int32Array, from: number): Promise<Float32Array[]>;
  /** Releases native memory; idempotent. Use after close throws CorralError `closed`. */
  close(): Promise<void>;
}

export interface LoraOptions {
  readonly rank: number;
  readonly alpha: number;
  readonly dropout: number;
  /** Scale by alpha / √rank; default alpha / rank. */
  readonly use_rslora?: boolean;
  readonly target_modules: 'all-linear' | readonly LoraTarget[];
}

export interface OpenCausalLmOptions {
  /** A GGUF file or a Hugging Face folder (config.json; without weights: initialised by `seed`). */
  readonly path: string;
  readonly method: 'lora' | 'full';
  /** How the products with a frozen base are computed in training; evaluation is float32 always. */
  readonly precision?: 'float32' | 'int8';
  /** Keep a frozen base in the 4 or 8 bits of its file instead of float32. */
  readonly packedBase?: boolean;
  /** Required for `lora`; RunConfig's section fits. */
  readonly lora?: LoraOptions;
  readonly seed: number;
  readonly threads: number;
  /** RunConfig's `runtime.device`. */
  readonly device: string;
  /** Keep only layer inputs and recompute the rest in the backward pass: less memory, about a quarter slower. */
  readonly recompute?: boolean;
  /** Bytes of weights loaded so far, and in all. */
  readonly onProgress?: (done: number, total: number) => void;
  /** What a person should know of how the base is kept. */
  readonly onNote?: (message: string) => void;
}
