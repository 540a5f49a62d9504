// The three graphs that all layers of a model share, for one shape of batch: evaluation, training
// forward, training backward. The backward graph is derived, not written: gradients of the layer, split
// from its forward pass where that is cheapest.
import type { ModelConfig } from '@corral/formats';
import { gradients } from '../autodiff/gradients.ts';
import { defaultMemoryPrice, partition } from '../autodiff/partition.ts';
import type { Graph } from '../graph/graph.ts';
import { input, max, reduceMax, scale } from '../graph/ops.ts';
import type { Shape, Value } from '../graph/value.ts';
import type { AttentionWindow } from '../nn/attention.ts';
import type { Matrix } from '../nn/linear.ts';
import type { DropoutSite, LayerContext, TensorSpec } from './llama.ts';
import { decoderLayer, dropoutWidths, matrixSites } from './llama.ts';
import type { LayerForms } from './model-tensors.ts';
import { matrixShape } from './weight-forms/frozen-matrix.ts';
import type { InputsByName } from './weight-forms/weight-form.ts';
import { float32Matrix, matrixInputs } from './weight-forms/weight-form.ts';

export interface LayerGraphOptions {
  readonly config: ModelConfig;
  /** All tensors of a layer, adapters included. */
  readonly tensors: readonly TensorSpec[];
  /** Of the frozen matrices that are not plain float32. */
  readonly forms?: LayerForms;
  /** Slots that get gradients. */
  readonly trainable: ReadonlySet<string>;
  readonly loraScale: number;
  readonly dropout: boolean;
  readonly recompute: boolean;
  readonly rows: number;
  readonly steps: number;
  readonly windows: readonly AttentionWindow[];
}

export interface LayerGraphs {
  /** x and weights → y */
  readonly evaluate: Graph;
  /** As evaluate, and `peak_<site>`: the largest magnitude [1, K] of each column that the site's matrices multiply. */
  readonly measure: Graph;
  /** x and weights → y and what the backward graph wants kept. */
  readonly forward: Graph;
  /** dy, x, weights and kept values → dx, and `d_<slot>` of each trainable slot. */
  readonly backward: Graph;
  /** Names and shapes of the kept values. */
  readonly saved: readonly { readonly name: string; readonly shape: Shape }[];
}

export const maskName = (window: number): string => `mask_${window}`;
export const dropoutName = (site: DropoutSite): string => `dropout_${site}`;
export const peakName = (site: string): string => `peak_${site}`;
export const gradientName = (slot: string): string => `d_${slot}`;

export const buildLayerGraphs = (options: LayerGraphOptions): LayerGraphs => {
  const { config, trainable, rows, steps, windows } = options;
  const hidden = [rows * steps, config.hidden_size];
  const x = input('x', hidden);
  const dy = input('dy', hidden);
  const { weights, train, exact, frozen } = layerWeights(options);
  const angles = [steps, config.head_dim / 2];
  const rotation = {
    positions: input('positions', [rows, steps], 'int64'),
    cos: input('cos', angles),
    sin: input('sin', angles),
  };
  const masks = windows.map(({ queries, keys }, i) =>
    input(maskName(i), [rows, 1, queries[1] - queries[0], keys[1] - keys[0]]),
  );
  const widths = dropoutWidths(config);
  const drop = (site: DropoutSite): Value => input(dropoutName(site), [rows * steps, widths[site]]);
  const dropoutMasks = options.dropout
    ? { qkv: drop('qkv'), o: drop('o'), gate: drop('gate'), down: drop('down') }
    : undefined;

  const context = { ...options, masks, rotation, weights };
  const y = decoderLayer(x, { ...context, matrices: train, dropoutMasks });
  const wrt = [...weights].filter(([slot]) => trainable.has(slot));
  const [dx = dy, ...grads] = gradients(y, dy, [x, ...wrt.map(([, value]) => value)]);
  const { forward, backward, saved } = partition(
    {
      forward: new Map([['y', y]]),
      backward: new Map([['dx', dx], ...wrt.map(gradientOutput(grads))]),
      free: new Set<Value>([
        x,
        dy,
        ...weights.values(),
        ...frozen,
        ...Object.values(rotation),
        ...masks,
        ...Object.values(dropoutMasks ?? {}),
      ]),
    },
    { memoryPrice: options.recompute ? Infinity : defaultMemoryPrice },
  );
  return {
    evaluate: { outputs: new Map([['y', decoderLayer(x, { ...context, matrices: exact })]]) },
    measure: measureGraph(x, { ...context, matrices: exact }),
    forward,
    backward,
    saved: [...saved].map(([name, { shape }]) => ({ name, shape })),
  };
};

/** Which of a layer's columns are large is seen at the matrices, without the layer's knowing. */
const measureGraph = (x: Value, context: LayerContext): Graph => {
  const peaks = new Map<string, Value>();
  const matrices = new Map(
    [...context.matrices].map(([slot, matrix]): [string, Matrix] => [
      slot,
      {
        ...matrix,
        times(value) {
          peaks.set(
            peakName(matrixSites[slot] ?? slot),
            reduceMax(max(value, scale(value, -1)), [0]),
          );
          return matrix.times(value);
        },
      },
    ]),
  );
  const y = decoderLayer(x, { ...context, matrices });
  return { outputs: new Map([['y', y], ...peaks]) };
};

interface LayerWeights {
  /** By slot, all that is plain float32. */
  readonly weights: Map<string, Value>;
  /** By slot, in the form of training and in the form of evaluation. */
  readonly train: Map<string, Matrix>;
  readonly exact: Map<string, Matrix>;
  /** The inputs of frozen matrices in training. */
  readonly frozen: Value[];
}

const layerWeights = ({ tensors, forms = new Map() }: LayerGraphOptions): LayerWeights => {
  const all: LayerWeights = { weights: new Map(), train: new Map(), exact: new Map(), frozen: [] };
  const known: InputsByName = new Map();
  for (const { slot, shape } of tensors) {
    const form = forms.get(slot);
    if (form) {
      const at = { shape: matrixShape(shape), known };
      const train = matrixInputs(slot, { form: form.train, ...at });
      all.frozen.push(...train.inputs);
      all.train.set(slot, train);
      all.exact.set(slot, matrixInputs(slot, { form: form.exact, ...at }));
      continue;
    }
    const value = input(slot, shape);
    all.weights.set(slot, value);
    const matrix = float32Matrix(value);
    all.train.set(slot, matrix);
    all.exact.set(slot, matrix);
  }
  return all;
};

const gradientOutput =
  (grads: readonly Value[]) =>
  ([slot, weight]: readonly [string, Value], i: number): [string, Value] => [
    gradientName(slot),
    grads[i] ?? weight,
  ];
