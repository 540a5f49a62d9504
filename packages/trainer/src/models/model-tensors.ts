// Where a model's numbers live: one float32 array for each stored tensor, seen both by the graphs (by
// slot) and by optimisers and files (by the names of Hugging Face and PEFT). Nothing is copied between
// the two views.
import type { LoraTarget } from '@corral/contracts';
import { loraTargets } from '@corral/contracts';
import type { ModelConfig } from '@corral/formats';
import { elementCount } from '../graph/value.ts';
import type { HostTensor } from '../runtime/runtime.ts';
import { hostTensor } from '../runtime/runtime.ts';
import type { LoraOptions, Parameter } from './causal-lm.ts';
import type { TensorSpec } from './llama.ts';
import { adapterTensors, layerTensors } from './llama.ts';

export interface StoredTensor extends TensorSpec {
  readonly data: Float32Array;
  /** The array as a graph sees it. */
  readonly tensor: HostTensor;
  /** Null when frozen. */
  readonly grad: Float32Array | null;
}

/** A named piece of a stored tensor. */
export interface NamedPart {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
  readonly grad: Float32Array | null;
}

export interface ModelTensors {
  readonly embedding: StoredTensor;
  /** By slot, adapters included; one map a layer. */
  readonly layers: readonly ReadonlyMap<string, StoredTensor>[];
  readonly norm: StoredTensor;
  /** The embedding itself when the two are tied. */
  readonly head: StoredTensor;
}

const store = (spec: TensorSpec, trainable: boolean): StoredTensor => {
  const data = new Float32Array(elementCount(spec.shape));
  const grad = trainable ? new Float32Array(data.length) : null;
  return { ...spec, data, grad, tensor: hostTensor(data, spec.shape) };
};

/** The named pieces of a stored tensor, as views. */
export const partsOf = ({ parts, data, grad }: StoredTensor): NamedPart[] => {
  let start = 0;
  return parts.map(({ name, shape }) => {
    const end = start + elementCount(shape);
    const part = {
      name,
      shape,
      data: data.subarray(start, end),
      grad: grad?.subarray(start, end) ?? null,
    };
    start = end;
    return part;
  });
};

const prefixed = (spec: TensorSpec, prefix: string): TensorSpec => ({
  ...spec,
  parts: spec.parts.map(({ name, shape }) => ({ name: `${prefix}${name}`, shape })),
});

const whole = (slot: string, name: string, shape: readonly number[]): TensorSpec => ({
  slot,
  shape,
  parts: [{ name, shape }],
});

export const chosenTargets = (lora: LoraOptions): readonly LoraTarget[] =>
  lora.target_modules === 'all-linear' ? loraTargets : lora.target_modules;

/** All tensors of a model, still zero. Without `lora` everything is trainable, else only the adapters. */
export const allocateTensors = (config: ModelConfig, lora: LoraOptions | null): ModelTensors => {
  const full = lora === null;
  const { hidden_size: d, vocab_size: vocabulary } = config;
  const embedding = store(whole('table', 'model.embed_tokens.weight', [vocabulary, d]), full);
  const base = layerTensors(config);
  const adapters = lora ? adapterTensors(config, lora.rank, chosenTargets(lora)) : [];
  const layers = Array.from({ length: config.num_hidden_layers }, (_, layer) => {
    const name = `model.layers.${layer}.`;
    const tensors = [
      ...base.map((spec) => store(prefixed(spec, name), full)),
      ...adapters.map((spec) => store(prefixed(spec, `base_model.model.${name}`), true)),
    ];
    return new Map(tensors.map((tensor) => [tensor.slot, tensor]));
  });
  const norm = store(whole('norm', 'model.norm.weight', [d]), full);
  const head = config.tie_word_embeddings
    ? embedding
    : store(whole('table', 'lm_head.weight', [vocabulary, d]), full);
  return { embedding, layers, norm, head };
};

/** Every stored tensor once, in the order of the model. */
export const allTensors = ({ embedding, layers, norm, head }: ModelTensors): StoredTensor[] => [
  embedding,
  ...layers.flatMap((layer) => [...layer.values()]),
  norm,
  ...(head === embedding ? [] : [head]),
];

export const isAdapter = ({ slot }: TensorSpec): boolean => /\.[AB]$/.test(slot);

export const trainableParameters = (tensors: ModelTensors): Parameter[] =>
  allTensors(tensors)
    .flatMap(partsOf)
    .flatMap(({ grad, ...part }) => (grad ? [{ ...part, grad }] : []));
