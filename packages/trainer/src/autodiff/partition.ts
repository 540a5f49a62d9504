// Splits one joint graph into a forward and a backward graph, and decides for every intermediate value
// that the backward pass wants whether to keep it or to compute it again. Both have a price; the
// cheapest choice for the whole graph is a minimum cut (as in PyTorch's AOTAutograd partitioner, after
// He & Yu 2023, "Transcending runtime-memory tradeoffs in checkpointing by being fusion aware"; there
// recomputing is free or forbidden, here it has a cost).
import { cost } from '../graph/cost.ts';
import type { Graph } from '../graph/graph.ts';
import { ancestors } from '../graph/graph.ts';
import type { Value } from '../graph/value.ts';
import { elementCount } from '../graph/value.ts';
import type { Edge } from './min-cut.ts';
import { sourceSideOfMinCut } from './min-cut.ts';

export interface Joint {
  /** Results of the forward pass. */
  readonly forward: ReadonlyMap<string, Value>;
  /** Results of the backward pass; they may use any value of the forward pass. */
  readonly backward: ReadonlyMap<string, Value>;
  /** Values the backward pass has at no price: what is fed to both passes. */
  readonly free: ReadonlySet<Value>;
}

export interface Partition {
  readonly forward: Graph;
  readonly backward: Graph;
  /** What the forward pass hands to the backward pass, by name. */
  readonly saved: ReadonlyMap<string, Value>;
}

/**
 * Nanoseconds that keeping one byte is worth. At 0.5 a product with a weight matrix of width 100 or more
 * is kept, norms and activations are recomputed; at Infinity nothing is kept but the pass's inputs.
 */
export const defaultMemoryPrice = 0.5;

/**
 * @param memoryPrice nanoseconds a byte, see defaultMemoryPrice; Infinity recomputes everything
 */
export const partition = (
  { forward, backward, free }: Joint,
  { memoryPrice = defaultMemoryPrice }: { readonly memoryPrice?: number } = {},
): Partition => {
  const forwardValues = ancestors(forward.values(), free);
  const inForward = new Set(forwardValues);
  const wanted = new Set<Value>();
  for (const value of ancestors(backward.values(), inForward)) {
    if (inForward.has(value)) wanted.add(value);
  }
  const kept = chooseKept(forwardValues, { wanted, free, memoryPrice });
  const saved = new Map(kept.map((value, i) => [`saved_${i}_${value.kind}`, value]));
  return {
    forward: { outputs: new Map([...forward, ...saved]) },
    backward: {
      outputs: backward,
      given: new Map([...saved].map(([name, value]) => [value, name])),
    },
    saved,
  };
};

interface Choice {
  readonly wanted: ReadonlySet<Value>;
  readonly free: ReadonlySet<Value>;
  readonly memoryPrice: number;
}

/**
 * Each value is two vertices, `before` and `after` it is available to the backward pass. On the sink's
 * side of the cut means available: a wanted `after` is tied to the sink; an available `before` pulls the
 * `after` of its inputs along. Cutting source → before pays for computing again, before → after for keeping.
 */
const chooseKept = (values: readonly Value[], { wanted, free, memoryPrice }: Choice): Value[] => {
  const source = -1;
  const sink = -2;
  const before = (value: Value): number => 2 * value.id;
  const after = (value: Value): number => 2 * value.id + 1;
  const edges: Edge[] = [];
  for (const value of values) {
    const isFree = free.has(value);
    const keeping = isFree ? 0 : 4 * elementCount(value.shape) * memoryPrice;
    edges.push({ from: source, to: before(value), capacity: isFree ? 0 : cost(value).nanoseconds });
    edges.push({ from: before(value), to: after(value), capacity: keeping });
    if (wanted.has(value)) edges.push({ from: after(value), to: sink, capacity: Infinity });
    if (isFree) continue;
    for (const part of value.inputs) {
      edges.push({ from: after(part), to: before(value), capacity: Infinity });
    }
  }
  const onSourceSide = sourceSideOfMinCut(edges, source, sink);
  return values.filter(
    (value) =>
      !free.has(value) && onSourceSide.has(before(value)) && !onSourceSide.has(after(value)),
  );
};
