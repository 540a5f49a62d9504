// The three graphs that all layers of a model share, for one shape of batch: evaluation, training
// forward, training backward. The backward graph is derived, not written: gradients of the layer, split
// from its forward pass where that is cheapest.
import type { ModelConfig } from '@corral/formats';
import { gradients } from '../autodiff/gradients.ts';
import { defaultMemoryPrice, partition } from '../autodiff/partition.ts';
import type { Graph } from '../graph/graph.ts';
import { input } from '../graph/ops.ts';
import type { Shape, Value } from '../graph/value.ts';
import type { AttentionWindow } from '../nn/attention.ts';
import type { DropoutSite, TensorSpec } from './llama.ts';
import { decoderLayer, dropoutWidths } from './llama.ts';

export interface LayerGraphOptions {
  readonly config: ModelConfig;
  /** All tensors of a layer, adapters included. */
  readonly tensors: readonly TensorSpec[];
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
  /** x and weights → y and what the backward graph wants kept. */
  readonly forward: Graph;
  /** dy, x, weights and kept values → dx, and `d_<slot>` of each trainable slot. */
  readonly backward: Graph;
  /** Names and shapes of the kept values. */
  readonly saved: readonly { readonly name: string; readonly shape: Shape }[];
}

export const maskName = (window: number): string => `mask_${window}`;
export const dropoutName = (site: DropoutSite): string => `dropout_${site}`;
export const gradientName = (slot: string): string => `d_${slot}`;

export const buildLayerGraphs = (options: LayerGraphOptions): LayerGraphs => {
  const { config, tensors, trainable, rows, steps, windows } = options;
  const hidden = [rows * steps, config.hidden_size];
  const x = input('x', hidden);
  const dy = input('dy', hidden);
  const weights = new Map<string, Value>(
    tensors.map(({ slot, shape }) => [slot, input(slot, shape)]),
  );
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
  const y = decoderLayer(x, { ...context, dropoutMasks });
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
        ...Object.values(rotation),
        ...masks,
        ...Object.values(dropoutMasks ?? {}),
      ]),
    },
    { memoryPrice: options.recompute ? Infinity : defaultMemoryPrice },
  );
  return {
    evaluate: { outputs: new Map([['y', decoderLayer(x, context)]]) },
    forward,
    backward,
    saved: [...saved].map(([name, { shape }]) => ({ name, shape })),
  };
};

const gradientOutput =
  (grads: readonly Value[]) =>
  ([slot, weight]: readonly [string, Value], i: number): [string, Value] => [
    gradientName(slot),
    grads[i] ?? weight,
  ];
