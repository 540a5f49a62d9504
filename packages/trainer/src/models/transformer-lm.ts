// A causal language model from its parts: embedding, decoder stack, head. Walks a batch group by group
// of rows and adds up; the order of all sums is fixed, so equal inputs give equal bytes.
import { CorralError } from '@corral/contracts';
import type { ModelConfig } from '@corral/formats';
import { elementCount } from '../graph/value.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { RowGroup } from './batch-layout.ts';
import { rowGroups, singleRow, stepMultiple } from './batch-layout.ts';
import type {
  BatchResult,
  CausalLm,
  EvaluateOptions,
  LoraOptions,
  PackedBatch,
  WeighExamples,
} from './causal-lm.ts';
import { accumulateEmbedding, embedRows } from './embedding.ts';
import type { DecoderStack } from './decoder-stack.ts';
import { createDecoderStack } from './decoder-stack.ts';
import { scaleByExample, sumByExample } from './example-values.ts';
import type { HeadResult, LmHead } from './lm-head.ts';
import { createLmHead } from './lm-head.ts';
import { loraScale as scaleOf } from './lora-scale.ts';
import type { LayerTensor, ModelTensors } from './model-tensors.ts';
import { everyTensor, isAdapter, trainableParameters } from './model-tensors.ts';
import type { Key } from './random.ts';
import { deriveKey } from './random.ts';

export interface TransformerOptions {
  readonly config: ModelConfig;
  readonly tensors: ModelTensors;
  readonly lora: LoraOptions | null;
  readonly seed: number;
  readonly recompute: boolean;
  readonly runtime: Runtime;
}

const checkBatch = ({ rows, seqLen, tokens, targets }: PackedBatch, config: ModelConfig): void => {
  const limit = config.vocab_size;
  const inside = (id: number): boolean => id >= 0 && id < limit;
  if (seqLen % stepMultiple !== 0 || tokens.length !== rows * seqLen) {
    throw new RangeError(`a batch of ${rows} x ${seqLen} with ${tokens.length} tokens`);
  }
  if (!tokens.every(inside) || !targets.every(inside)) {
    throw new RangeError(`a token id is not below the vocabulary size ${limit}`);
  }
};

const emptyResult: BatchResult = {
  lossSum: 0,
  weightSum: 0,
  correct: 0,
  scored: 0,
  tokens: 0,
  exampleLosses: [],
};

const addGroup = (sum: BatchResult, part: HeadResult, batch: PackedBatch): BatchResult => ({
  lossSum: sum.lossSum + part.lossSum,
  weightSum: sum.weightSum + part.weightSum,
  correct: sum.correct + part.correct,
  scored: sum.scored + part.scored,
  tokens: sum.tokens + batch.segments.reduce((count, segment) => count + Number(segment >= 0), 0),
  exampleLosses: [...sum.exampleLosses, ...sumByExample(batch, part.losses)],
});

/** Numbers the passes of one optimiser step, so that each draws masks of its own. */
const createPassKeys = (seed: number): ((step: number) => Key) => {
  let current = { step: -1, pass: 0 };
  return (step) => {
    current = { step, pass: step === current.step ? current.pass + 1 : 0 };
    return deriveKey(deriveKey([seed, 0], 3, 0), step, current.pass);
  };
};

interface Parts {
  readonly config: ModelConfig;
  readonly embedding: LayerTensor;
  readonly stack: DecoderStack;
  readonly head: LmHead;
}

interface TrainOptions {
  readonly key: Key;
  readonly lossScale: number;
  readonly weigh?: WeighExamples | undefined;
}

const trainGroup = async (
  { embedding, stack, head }: Parts,
  group: RowGroup,
  { key, lossScale, weigh }: TrainOptions,
): Promise<HeadResult> => {
  const { tokens, targets, weights } = group.batch;
  embedRows(tokens, embedding, stack.input(group));
  const hidden = await stack.forward(group, key);
  // Only the head is run twice: what the layers kept for their backward pass does not change.
  const measured = weigh && (await head.evaluate({ hidden, targets, weights }));
  const factors = measured && weigh(sumByExample(group.batch, measured.losses), group.firstRow);
  const learned = factors ? scaleByExample(group.batch, factors) : weights;
  const { dHidden, ...result } = await head.train({ hidden, targets, weights: learned }, lossScale);
  accumulateEmbedding(tokens, await stack.backward(group, key, dHidden), embedding);
  return measured ?? result;
};

const evaluateGroup = async (
  { embedding, stack, head }: Parts,
  group: RowGroup,
  options?: EvaluateOptions,
): Promise<HeadResult> => {
  const { tokens, targets, weights } = group.batch;
  embedRows(tokens, embedding, stack.input(group));
  return head.evaluate({ hidden: await stack.evaluate(group, options), targets, weights });
};

const logitsOf = async (
  { config, embedding, stack, head }: Parts,
  group: RowGroup,
  [from, to]: readonly [number, number],
): Promise<Float32Array[]> => {
  embedRows(group.batch.tokens, embedding, stack.input(group));
  const hidden = await stack.evaluate(group);
  return head.logits(hidden.subarray(from * config.hidden_size, to * config.hidden_size));
};

const baseParameterCount = (tensors: ModelTensors): number =>
  everyTensor(tensors)
    .filter((tensor) => !isAdapter(tensor))
    .reduce((count, { shape }) => count + elementCount(shape), 0);

export const createTransformerLm = (options: TransformerOptions): CausalLm => {
  const { config, tensors, lora, runtime } = options;
  const { embedding, layers, forms, norm, head: table } = tensors;
  const loraScale = lora ? scaleOf(lora) : 0;
  const dropout = lora?.dropout ?? 0;
  const parts: Parts = {
    config,
    embedding,
    stack: createDecoderStack({ ...options, layers, forms, loraScale, dropout }),
    head: createLmHead({ config, norm, table, runtime }),
  };
  const passKey = createPassKeys(options.seed);
  let closed = false;
  const groupsOf = (batch: PackedBatch): RowGroup[] => {
    if (closed) throw new CorralError('closed', { params: { what: 'model' } });
    checkBatch(batch, config);
    return rowGroups(batch, config.sliding_window);
  };
  const overGroups = async (
    batch: PackedBatch,
    pass: (group: RowGroup) => Promise<HeadResult>,
  ): Promise<BatchResult> => {
    let sum = emptyResult;
    for (const group of groupsOf(batch)) sum = addGroup(sum, await pass(group), group.batch);
    return sum;
  };
  const close = (): Promise<void> => {
    closed = true;
    return runtime.close();
  };
  return {
    config,
    parameters: trainableParameters(tensors),
    baseParameterCount: baseParameterCount(tensors),
    forwardBackward(batch, { step, ...rest }) {
      const key = passKey(step);
      return overGroups(batch, (group) => trainGroup(parts, group, { key, ...rest }));
    },
    evaluate: (batch, options) =>
      overGroups(batch, (group) => evaluateGroup(parts, group, options)),
    async nextTokenLogits(tokens, from) {
      const [group] = groupsOf(singleRow(tokens));
      return group ? logitsOf(parts, group, [from, tokens.length]) : [];
    },
    close,
    [Symbol.asyncDispose]: close,
  };
};
