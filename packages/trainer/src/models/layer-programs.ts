// The sessions that all layers share, made when a shape of batch first needs them, and kept.
import type { ModelConfig } from '@corral/formats';
import { lower } from '../onnx/lower.ts';
import type { HostTensors, Runtime, Session } from '../runtime/runtime.ts';
import { hostTensor } from '../runtime/runtime.ts';
import type { RowGroup } from './batch-layout.ts';
import type { LayerGraphs } from './layer-graphs.ts';
import { buildLayerGraphs } from './layer-graphs.ts';
import type { LayerForms, LayerTensor } from './model-tensors.ts';
import { isMatrix } from './model-tensors.ts';
import { ropeTables } from './rope-tables.ts';

export interface LayerProgramOptions {
  readonly config: ModelConfig;
  readonly layers: readonly ReadonlyMap<string, LayerTensor>[];
  /** The same for all layers, which share the graphs. */
  readonly forms: LayerForms;
  readonly loraScale: number;
  /** Probability; 0 = none. */
  readonly dropout: number;
  readonly recompute: boolean;
  readonly runtime: Runtime;
}

/** What runs a layer on batches of one shape. */
export interface LayerPrograms {
  /** `cos` and `sin` of the shape's positions. */
  readonly angles: HostTensors;
  readonly saved: LayerGraphs['saved'];
  readonly evaluate: () => Promise<Session>;
  readonly measure: () => Promise<Session>;
  readonly forward: () => Promise<Session>;
  readonly backward: () => Promise<Session>;
}

const once = <T>(make: () => Promise<T>): (() => Promise<T>) => {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
};

const buildPrograms = (
  { shape, windows }: RowGroup,
  options: LayerProgramOptions,
): LayerPrograms => {
  const { config, runtime, layers } = options;
  const tensors = [...(layers[0]?.values() ?? [])];
  const graphs = buildLayerGraphs({
    ...options,
    ...shape,
    tensors,
    windows,
    dropout: options.dropout > 0,
    trainable: new Set(
      tensors.flatMap((tensor) => (!isMatrix(tensor) && tensor.grad ? [tensor.slot] : [])),
    ),
  });
  const session = (pass: 'evaluate' | 'measure' | 'forward' | 'backward') =>
    once(() => runtime.createSession(lower(graphs[pass])));
  const { cos, sin } = ropeTables(config, shape.steps);
  const extent = [shape.steps, config.head_dim / 2];
  return {
    angles: { cos: hostTensor(cos, extent), sin: hostTensor(sin, extent) },
    saved: graphs.saved,
    evaluate: session('evaluate'),
    measure: session('measure'),
    forward: session('forward'),
    backward: session('backward'),
  };
};

/** The programs for a group of rows; the same for every group of its shape. */
export const createLayerPrograms = (
  options: LayerProgramOptions,
): ((group: RowGroup) => LayerPrograms) => {
  const programs = new Map<string, LayerPrograms>();
  return (group) => {
    const { rows, steps, lookback } = group.shape;
    const key = `${rows} ${steps} ${lookback}`;
    const known = programs.get(key) ?? buildPrograms(group, options);
    programs.set(key, known);
    return known;
  };
};
