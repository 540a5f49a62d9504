// Where a model's numbers live: one float32 array for each stored tensor, seen both by the graphs (by
// slot) and by optimisers and files (by the names of Hugging Face and PEFT). Nothing is copied between
// the two views. The large matrices of a frozen base may lie in other forms (weight-forms/).
import type { LoraTarget } from '@corral/contracts';
import { loraTargets } from '@corral/contracts';
import type { ModelConfig } from '@corral/formats';
import { elementCount } from '../graph/value.ts';
import type { HostTensor, HostTensors } from '../runtime/runtime.ts';
import { hostTensor } from '../runtime/runtime.ts';
import type { LoraOptions, Parameter } from './causal-lm.ts';
import type { TensorSpec } from './llama.ts';
import { adapterTensors, layerTensors } from './llama.ts';
import type { FrozenMatrix, MatrixForms } from './weight-forms/frozen-matrix.ts';
import { allocateMatrix, matrixShape } from './weight-forms/frozen-matrix.ts';

export interface StoredTensor extends TensorSpec {
  readonly data: Float32Array;
  /** The array as a graph sees it. */
  readonly tensor: HostTensor;
  /** Null when frozen. */
  readonly grad: Float32Array | null;
}

/** A large matrix of a frozen base whose forms are not both plain float32. */
export interface StoredMatrix extends TensorSpec {
  readonly matrix: FrozenMatrix;
}

/** What a layer keeps under one slot. */
export type LayerTensor = StoredTensor | StoredMatrix;

export const isMatrix = (tensor: LayerTensor): tensor is StoredMatrix => 'matrix' in tensor;

export const layerFeeds = (layer: ReadonlyMap<string, LayerTensor>): HostTensors =>
  Object.assign(
    {},
    ...[...layer.values()].map((tensor) =>
      isMatrix(tensor) ? tensor.matrix.feeds : { [tensor.slot]: tensor.tensor },
    ),
  ) as HostTensors;

/** The forms of the matrices of all layers by slot; a slot that is not named is plain float32. */
export type LayerForms = ReadonlyMap<string, MatrixForms>;

/** A named piece of a stored tensor. */
export interface NamedPart {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
  readonly grad: Float32Array | null;
}

export interface ModelTensors {
  /** Rows are looked up: a frozen one may stay in the blocks of its file. */
  readonly embedding: LayerTensor;
  /** By slot, adapters included; one map a layer. */
  readonly layers: readonly ReadonlyMap<string, LayerTensor>[];
  readonly forms: LayerForms;
  readonly norm: StoredTensor;
  /** The embedding itself when the two are tied. */
  readonly head: StoredTensor;
}

const store = (spec: TensorSpec, trainable: boolean): StoredTensor => {
  const data = new Float32Array(elementCount(spec.shape));
  const grad = trainable ? new Float32Array(data.length) : null;
  return { ...spec, data, grad, tensor: hostTensor(data, spec.shape) };
};

const storeBase = (spec: TensorSpec, trainable: boolean, forms: LayerForms): LayerTensor => {
  const form = forms.get(spec.slot);
  if (!form) return store(spec, trainable);
  return { ...spec, matrix: allocateMatrix(spec.slot, form, matrixShape(spec.shape)) };
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

/** Names the embedding's form; it is no graph's input. */
export const embeddingSlot = 'embedding';

export const chosenTargets = (lora: LoraOptions): readonly LoraTarget[] =>
  lora.target_modules === 'all-linear' ? loraTargets : lora.target_modules;

/**
 * All tensors of a model, still zero. Without `lora` everything is trainable, else only the adapters.
 * `forms` are for a frozen base.
 */
export const allocateTensors = (
  config: ModelConfig,
  lora: LoraOptions | null,
  forms: LayerForms = new Map(),
): ModelTensors => {
  const full = lora === null;
  const { hidden_size: d, vocab_size: vocabulary } = config;
  const tableSpec = whole(embeddingSlot, 'model.embed_tokens.weight', [vocabulary, d]);
  const base = layerTensors(config);
  const adapters = lora ? adapterTensors(config, lora.rank, chosenTargets(lora)) : [];
  const layers = Array.from({ length: config.num_hidden_layers }, (_, layer) => {
    const name = `model.layers.${layer}.`;
    const tensors = [
      ...base.map((spec) => storeBase(prefixed(spec, name), full, forms)),
      ...adapters.map((spec) => store(prefixed(spec, `base_model.model.${name}`), true)),
    ];
    return new Map(tensors.map((tensor) => [tensor.slot, tensor]));
  });
  const norm = store(whole('norm', 'model.norm.weight', [d]), full);
  if (config.tie_word_embeddings) {
    const head = store(tableSpec, full);
    return { embedding: head, layers, norm, head, forms };
  }
  const embedding = storeBase(tableSpec, full, forms);
  const head = store(whole('head', 'lm_head.weight', [vocabulary, d]), full);
  return { embedding, layers, norm, head, forms };
};

/** Every tensor once, in the order of the model. */
export const everyTensor = ({ embedding, layers, norm, head }: ModelTensors): LayerTensor[] => [
  embedding,
  ...layers.flatMap((layer) => [...layer.values()]),
  norm,
  ...(head === embedding ? [] : [head]),
];

/** Every tensor that is stored in float32. */
export const allTensors = (tensors: ModelTensors): StoredTensor[] =>
  everyTensor(tensors).flatMap((tensor) => (isMatrix(tensor) ? [] : [tensor]));

export const isAdapter = ({ slot }: TensorSpec): boolean => /\.[AB]$/.test(slot);

export const trainableParameters = (tensors: ModelTensors): Parameter[] =>
  allTensors(tensors)
    .flatMap(partsOf)
    .flatMap(({ grad, ...part }) => (grad ? [{ ...part, grad }] : []));
