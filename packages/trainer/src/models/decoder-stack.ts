// Runs all layers of a model through the graphs they share: one session evaluates, one goes forward and
// keeps what one going backward wants. Weights are inputs, so a layer is a set of tensors, not a session.
import type { ModelConfig } from '@corral/formats';
import type { Shape } from '../graph/value.ts';
import { elementCount } from '../graph/value.ts';
import { lower } from '../onnx/lower.ts';
import type { HostTensor, HostTensors, Runtime, Session } from '../runtime/runtime.ts';
import { hostTensor } from '../runtime/runtime.ts';
import type { BatchShape, RowGroup } from './batch-layout.ts';
import type { LayerGraphs } from './layer-graphs.ts';
import { buildLayerGraphs, dropoutName, gradientName, maskName } from './layer-graphs.ts';
import { dropoutSites, dropoutWidths } from './llama.ts';
import type { StoredTensor } from './model-tensors.ts';
import type { Key } from './random.ts';
import { deriveKey, fillDropout } from './random.ts';
import { ropeTables } from './rope-tables.ts';
import { accumulate, createWorkspace } from './workspace.ts';

export interface DecoderStackOptions {
  readonly config: ModelConfig;
  readonly layers: readonly ReadonlyMap<string, StoredTensor>[];
  readonly loraScale: number;
  /** Probability; 0 = none. */
  readonly dropout: number;
  readonly recompute: boolean;
  readonly runtime: Runtime;
}

export interface DecoderStack {
  /** Where the embeddings [M, D] of a group belong; then call forward or evaluate. */
  input(group: RowGroup): Float32Array;
  /** Hidden states after the last layer [M, D], without dropout; valid until the next call. */
  evaluate(group: RowGroup): Promise<Float32Array>;
  /** As evaluate, with dropout by `key`, keeping what `backward` needs. */
  forward(group: RowGroup, key: Key): Promise<Float32Array>;
  /**
   * Adds to the gradients of all trainable tensors; must follow `forward` of the same group and key.
   * `dy` is overwritten. @returns the gradient of the embeddings [M, D]; valid until the next call
   */
  backward(group: RowGroup, key: Key, dy: Float32Array): Promise<Float32Array>;
}

interface Programs {
  /** cos and sin of the shape's positions. */
  readonly angles: HostTensors;
  readonly saved: LayerGraphs['saved'];
  evaluate(): Promise<Session>;
  forward(): Promise<Session>;
  backward(): Promise<Session>;
}

const once = <T>(make: () => Promise<T>): (() => Promise<T>) => {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
};

const buildPrograms = (
  shape: BatchShape,
  group: RowGroup,
  options: DecoderStackOptions,
): Programs => {
  const { config, runtime, layers } = options;
  const tensors = [...(layers[0]?.values() ?? [])];
  const graphs = buildLayerGraphs({
    ...options,
    ...shape,
    tensors,
    windows: group.windows,
    dropout: options.dropout > 0,
    trainable: new Set(tensors.flatMap(({ grad, slot }) => (grad ? [slot] : []))),
  });
  const session = (graph: LayerGraphs['forward']) =>
    once(() => runtime.createSession(lower(graph)));
  const { cos, sin } = ropeTables(config, shape.steps);
  const extent = [shape.steps, config.head_dim / 2];
  return {
    angles: { cos: hostTensor(cos, extent), sin: hostTensor(sin, extent) },
    saved: graphs.saved,
    evaluate: session(graphs.evaluate),
    forward: session(graphs.forward),
    backward: session(graphs.backward),
  };
};

/** What a batch feeds to every layer. */
const sharedFeeds = (
  { shape, batch, masks, windows }: RowGroup,
  angles: HostTensors,
): HostTensors => {
  const { rows, steps } = shape;
  const feeds: Record<string, HostTensor> = {
    ...angles,
    positions: hostTensor(BigInt64Array.from(batch.positions, BigInt), [rows, steps]),
  };
  for (const [i, { queries, keys }] of windows.entries()) {
    const extent = [rows, 1, queries[1] - queries[0], keys[1] - keys[0]];
    feeds[maskName(i)] = hostTensor(masks[i] ?? new Float32Array(), extent);
  }
  return feeds;
};

/** Of all tensors at hand, those that the session takes. */
const select = (session: Session, ...sources: readonly HostTensors[]): HostTensors => {
  const feeds: Record<string, HostTensor> = {};
  for (const { name } of session.inputs) {
    const tensor = sources.find((source) => name in source)?.[name];
    if (!tensor) throw new TypeError(`nothing feeds ${name}`);
    feeds[name] = tensor;
  }
  return feeds;
};

export const createDecoderStack = (options: DecoderStackOptions): DecoderStack => {
  const { config, layers, dropout } = options;
  const workspace = createWorkspace();
  const programs = new Map<string, Programs>();
  const shared = new WeakMap<RowGroup, HostTensors>();
  const weightFeeds = layers.map((layer): HostTensors =>
    Object.fromEntries([...layer].map(([slot, { tensor }]) => [slot, tensor])),
  );
  const widths = dropoutWidths(config);

  const programsFor = (group: RowGroup): Programs => {
    const key = Object.values(group.shape).join();
    const known = programs.get(key) ?? buildPrograms(group.shape, group, options);
    programs.set(key, known);
    return known;
  };
  const sharedFor = (group: RowGroup): HostTensors => {
    const known = shared.get(group) ?? sharedFeeds(group, programsFor(group).angles);
    shared.set(group, known);
    return known;
  };
  const scratch = (name: string, shape: Shape): HostTensor =>
    hostTensor(workspace.floats(name, elementCount(shape)), shape);
  const hiddenShape = ({ shape }: RowGroup): Shape => [
    shape.rows * shape.steps,
    config.hidden_size,
  ];
  const hidden = (group: RowGroup, layer: number): HostTensor =>
    scratch(`x ${layer}`, hiddenShape(group));
  const floats = (tensor: HostTensor): Float32Array => tensor.data as Float32Array;

  /** The masks of one layer; made again for the backward pass instead of kept. */
  const dropoutFeeds = (group: RowGroup, layer: number, key: Key): HostTensors => {
    if (dropout === 0) return {};
    const { rows, steps } = group.shape;
    const feeds: Record<string, HostTensor> = {};
    for (const [index, site] of dropoutSites.entries()) {
      const mask = scratch(dropoutName(site), [rows * steps, widths[site]]);
      const siteKey = deriveKey(key, layer, index);
      const rowLength = steps * widths[site];
      for (let row = 0; row < rows; row++) {
        const part = floats(mask).subarray(row * rowLength, (row + 1) * rowLength);
        fillDropout(siteKey, part, { probability: dropout, stream: group.firstRow + row });
      }
      feeds[dropoutName(site)] = mask;
    }
    return feeds;
  };
  const savedTensors = ({ saved }: Programs, layer: number): HostTensors =>
    Object.fromEntries(saved.map(({ name, shape }) => [name, scratch(`${name} ${layer}`, shape)]));
  const gradientTensors = (layer: ReadonlyMap<string, StoredTensor>): HostTensors =>
    Object.fromEntries(
      [...layer.values()].flatMap(({ slot, shape, grad }) =>
        grad ? [[gradientName(slot), scratch(gradientName(slot), shape)]] : [],
      ),
    );

  const evaluate = async (group: RowGroup): Promise<Float32Array> => {
    const session = await programsFor(group).evaluate();
    // Two arrays in turn: nothing is kept.
    for (const layer of layers.keys()) {
      const x = hidden(group, layer % 2);
      const y = hidden(group, (layer + 1) % 2);
      await session.run(select(session, { x }, weightFeeds[layer] ?? {}, sharedFor(group)), { y });
    }
    return floats(hidden(group, layers.length % 2));
  };

  const forward = async (group: RowGroup, key: Key): Promise<Float32Array> => {
    const program = programsFor(group);
    const session = await program.forward();
    for (const layer of layers.keys()) {
      const own = { x: hidden(group, layer), ...dropoutFeeds(group, layer, key) };
      await session.run(select(session, own, weightFeeds[layer] ?? {}, sharedFor(group)), {
        y: hidden(group, layer + 1),
        ...savedTensors(program, layer),
      });
    }
    return floats(hidden(group, layers.length));
  };

  const backward = async (group: RowGroup, key: Key, dy: Float32Array): Promise<Float32Array> => {
    const program = programsFor(group);
    const session = await program.backward();
    let arriving = hostTensor(dy, hiddenShape(group));
    let leaving = scratch('dx', hiddenShape(group));
    for (const [layer, tensors] of [...layers.entries()].toReversed()) {
      const own = {
        x: hidden(group, layer),
        dy: arriving,
        ...savedTensors(program, layer),
        ...dropoutFeeds(group, layer, key),
      };
      const grads = gradientTensors(tensors);
      const feeds = select(session, own, weightFeeds[layer] ?? {}, sharedFor(group));
      await session.run(feeds, { dx: leaving, ...grads });
      for (const { slot, grad } of tensors.values()) {
        const part = grads[gradientName(slot)];
        if (grad && part) accumulate(grad, floats(part));
      }
      [arriving, leaving] = [leaving, arriving];
    }
    return floats(arriving);
  };

  return { input: (group) => floats(hidden(group, 0)), evaluate, forward, backward };
};
