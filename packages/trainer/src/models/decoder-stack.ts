// Runs all layers of a model through the sessions they share: one evaluates, one goes forward and keeps
// what one going backward wants. Weights are inputs, so a layer is a set of tensors, not a session.
import type { Shape } from '../graph/value.ts';
import { elementCount } from '../graph/value.ts';
import type { HostTensor, HostTensors } from '../runtime/runtime.ts';
import { hostTensor } from '../runtime/runtime.ts';
import type { RowGroup } from './batch-layout.ts';
import type { EvaluateOptions } from './causal-lm.ts';
import { batchFeeds, dropoutFeeds, select } from './layer-feeds.ts';
import { gradientName, peakName } from './layer-graphs.ts';
import type { DropoutSite } from './llama.ts';
import { dropoutSites, dropoutWidths } from './llama.ts';
import type { LayerProgramOptions, LayerPrograms } from './layer-programs.ts';
import { createLayerPrograms } from './layer-programs.ts';
import type { LayerTensor } from './model-tensors.ts';
import { isMatrix, layerFeeds } from './model-tensors.ts';
import type { Key } from './random.ts';
import type { Workspace } from './workspace.ts';
import { accumulate, createWorkspace } from './workspace.ts';

export interface DecoderStack {
  /** Where the embeddings [M, D] of a group belong; then call forward or evaluate. */
  input(group: RowGroup): Float32Array;
  /** Hidden states after the last layer [M, D], without dropout; valid until the next call. */
  evaluate(group: RowGroup, options?: EvaluateOptions): Promise<Float32Array>;
  /** As evaluate; for each layer and site the largest magnitude [K] of each column it multiplies. */
  measure(group: RowGroup): Promise<ReadonlyMap<DropoutSite, Float32Array>[]>;
  /** As evaluate, with dropout by `key`, keeping what `backward` needs. */
  forward(group: RowGroup, key: Key): Promise<Float32Array>;
  /**
   * Adds to the gradients of all trainable tensors; must follow `forward` of the same group and key.
   * `dy` is overwritten. @returns the gradient of the embeddings [M, D]; valid until the next call
   */
  backward(group: RowGroup, key: Key, dy: Float32Array): Promise<Float32Array>;
}

interface Stack extends LayerProgramOptions {
  readonly workspace: Workspace;
  readonly programsFor: (group: RowGroup) => LayerPrograms;
  /** Positions, masks and angles of a group, made once. */
  readonly batchFeeds: WeakMap<RowGroup, HostTensors>;
  /** By slot, one a layer. */
  readonly weightFeeds: readonly HostTensors[];
}

const floats = (tensor: HostTensor): Float32Array => tensor.data as Float32Array;

const scratch = ({ workspace }: Stack, name: string, shape: Shape): HostTensor =>
  hostTensor(workspace.floats(name, elementCount(shape)), shape);

const hiddenShape = ({ config }: Stack, { shape }: RowGroup): Shape => [
  shape.rows * shape.steps,
  config.hidden_size,
];

/** The hidden states that enter a layer; those that leave the last one enter layer `layers.length`. */
const hidden = (stack: Stack, group: RowGroup, layer: number): HostTensor =>
  scratch(stack, `x ${layer}`, hiddenShape(stack, group));

const feedsOf = (stack: Stack, group: RowGroup, layer: number): HostTensors => {
  const shared = stack.batchFeeds.get(group) ?? batchFeeds(group, stack.programsFor(group).angles);
  stack.batchFeeds.set(group, shared);
  return { ...shared, ...stack.weightFeeds[layer] };
};

const dropoutOf = (stack: Stack, group: RowGroup, at: { layer: number; key: Key }): HostTensors =>
  dropoutFeeds(group, { ...stack, ...at, probability: stack.dropout });

const savedTensors = (stack: Stack, { saved }: LayerPrograms, layer: number): HostTensors =>
  Object.fromEntries(
    saved.map(({ name, shape }) => [name, scratch(stack, `${name} ${layer}`, shape)]),
  );

/** Where a layer's gradients are computed before they are added up; the same for all layers. */
const gradientTensors = (stack: Stack, layer: ReadonlyMap<string, LayerTensor>): HostTensors =>
  Object.fromEntries(
    [...layer.values()].flatMap((tensor) => {
      if (isMatrix(tensor) || !tensor.grad) return [];
      const name = gradientName(tensor.slot);
      return [[name, scratch(stack, name, tensor.shape)]];
    }),
  );

/** Zeros in the place of each B: the adapters then add exactly nothing. */
const silencedAdapters = (stack: Stack): HostTensors =>
  Object.fromEntries(
    [...(stack.layers[0]?.values() ?? [])].flatMap(({ slot, shape }) =>
      slot.endsWith('.B') ? [[slot, scratch(stack, `no ${slot}`, shape)]] : [],
    ),
  );

const evaluateLayers = async (
  stack: Stack,
  group: RowGroup,
  { adapters = 'on' }: EvaluateOptions = {},
): Promise<Float32Array> => {
  const silenced = adapters === 'off' ? silencedAdapters(stack) : {};
  const session = await stack.programsFor(group).evaluate();
  // Two arrays in turn: nothing is kept.
  for (const layer of stack.layers.keys()) {
    const x = hidden(stack, group, layer % 2);
    const y = hidden(stack, group, (layer + 1) % 2);
    await session.run(select(session, { x }, silenced, feedsOf(stack, group, layer)), { y });
  }
  return floats(hidden(stack, group, stack.layers.length % 2));
};

const measureLayers = async (
  stack: Stack,
  group: RowGroup,
): Promise<Map<DropoutSite, Float32Array>[]> => {
  const session = await stack.programsFor(group).measure();
  const widths = dropoutWidths(stack.config);
  const found = [];
  for (const layer of stack.layers.keys()) {
    const x = hidden(stack, group, layer % 2);
    const y = hidden(stack, group, (layer + 1) % 2);
    const peaks = new Map(
      dropoutSites.map((site) => [site, new Float32Array(widths[site])] as const),
    );
    const results = [...peaks].map(([site, data]) => [
      peakName(site),
      hostTensor(data, [1, data.length]),
    ]);
    await session.run(select(session, { x }, feedsOf(stack, group, layer)), {
      y,
      ...(Object.fromEntries(results) as HostTensors),
    });
    found.push(peaks);
  }
  return found;
};

const forwardLayers = async (stack: Stack, group: RowGroup, key: Key): Promise<Float32Array> => {
  const programs = stack.programsFor(group);
  const session = await programs.forward();
  for (const layer of stack.layers.keys()) {
    const own = {
      x: hidden(stack, group, layer),
      ...dropoutOf(stack, group, { layer, key }),
    };
    await session.run(select(session, own, feedsOf(stack, group, layer)), {
      y: hidden(stack, group, layer + 1),
      ...savedTensors(stack, programs, layer),
    });
  }
  return floats(hidden(stack, group, stack.layers.length));
};

const backwardLayers = async (
  stack: Stack,
  group: RowGroup,
  { key, dy }: { readonly key: Key; readonly dy: Float32Array },
): Promise<Float32Array> => {
  const programs = stack.programsFor(group);
  const session = await programs.backward();
  let arriving = hostTensor(dy, hiddenShape(stack, group));
  let leaving = scratch(stack, 'dx', hiddenShape(stack, group));
  for (const [layer, tensors] of [...stack.layers.entries()].toReversed()) {
    const own = {
      x: hidden(stack, group, layer),
      dy: arriving,
      ...savedTensors(stack, programs, layer),
      ...dropoutOf(stack, group, { layer, key }),
    };
    const grads = gradientTensors(stack, tensors);
    const feeds = select(session, own, feedsOf(stack, group, layer));
    await session.run(feeds, { dx: leaving, ...grads });
    for (const tensor of tensors.values()) {
      const part = grads[gradientName(tensor.slot)];
      if (part && !isMatrix(tensor) && tensor.grad) accumulate(tensor.grad, floats(part));
    }
    [arriving, leaving] = [leaving, arriving];
  }
  return floats(arriving);
};

export const createDecoderStack = (options: LayerProgramOptions): DecoderStack => {
  const stack: Stack = {
    ...options,
    workspace: createWorkspace(),
    programsFor: createLayerPrograms(options),
    batchFeeds: new WeakMap(),
    weightFeeds: options.layers.map(layerFeeds),
  };
  return {
    input: (group) => floats(hidden(stack, group, 0)),
    evaluate: (group, options) => evaluateLayers(stack, group, options),
    measure: (group) => measureLayers(stack, group),
    forward: (group, key) => forwardLayers(stack, group, key),
    backward: (group, key, dy) => backwardLayers(stack, group, { key, dy }),
  };
};
