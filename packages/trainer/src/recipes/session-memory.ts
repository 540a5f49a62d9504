// What ONNX Runtime's sessions hold beside what is fed to them: the values between two operations, counted from
// the graph, and what its allocator adds to them. Runs nothing.
import { composites } from '../graph/composites.ts';
import { ancestors, type Graph } from '../graph/graph.ts';
import type { DType, OpKind, Value } from '../graph/value.ts';
import { elementCount } from '../graph/value.ts';

const elementBytes: Record<DType, number> = { float32: 4, int64: 8, int8: 1, uint8: 1 };

const bytesOf = ({ dtype, shape }: Pick<Value, 'dtype' | 'shape'>): number =>
  elementBytes[dtype] * elementCount(shape);

/** Kernels that write over their first dying input of the same size. */
const inPlace = new Set<OpKind>([
  'add',
  'sub',
  'mul',
  'max',
  'scale',
  'sigmoid',
  'log',
  'softmax',
  'greater_equal',
]);

/** Has no bytes of its own: it is looked at through another shape, or is one number. */
const isView = (value: Value): boolean => value.kind === 'reshape' || value.kind === 'fill';

/** What a kernel needs for itself while it runs (onnx/lower.ts). */
function scratchBytes(value: Value): number {
  // The two halves before they are put together.
  if (value.kind === 'unpack_nibbles') return bytesOf(value);
  if (value.kind !== 'int8_matmul') return 0;
  // The operand with the scales folded in and its bytes, the weight laid out anew, the product before its scale.
  const [x, weight] = value.inputs;
  return 5 * elementCount(x.shape) + bytesOf(weight) + bytesOf(value);
}

const expand = (value: Value): Value => {
  if (value.kind === 'silu') return composites.silu(value);
  if (value.kind === 'attention_block') return composites.attention_block(value);
  return value.kind === 'linear_cross_entropy' ? composites.linear_cross_entropy(value) : value;
};

/**
 * The operations of a graph in the order in which ONNX Runtime runs them, composites taken apart: backwards from the
 * last result, of an operation's inputs the one that was made last first (GraphViewer, ReverseDFSFrom).
 */
class Schedule {
  readonly values: Value[] = [];
  private readonly expanded = new Map<Value, Value>();
  private readonly known = new Set<Value>();
  private readonly fed: ReadonlySet<Value>;

  constructor({ outputs, given = new Map() }: Graph) {
    this.fed = new Set([...given.keys()].map((value) => this.of(value)));
    for (const value of [...outputs.values()].toReversed()) this.visit(this.of(value));
  }

  /** The value that is computed for this one; of a view, the one that it looks at. */
  of(value: Value): Value {
    const known = this.expanded.get(value) ?? expand(value);
    this.expanded.set(value, known);
    if (known.kind === 'reshape') return this.of(known.inputs[0]);
    return known === value ? value : this.of(known);
  }

  private visit(value: Value): void {
    if (this.known.has(value)) return;
    this.known.add(value);
    if (this.fed.has(value) || value.kind === 'input') return;
    for (const input of [...this.inputsOf(value)].toSorted((a, b) => b.id - a.id)) {
      this.visit(input);
    }
    this.values.push(value);
  }

  inputsOf(value: Value): Set<Value> {
    return new Set((value.inputs as readonly Value[]).map((input) => this.of(input)));
  }
}

/** Most bytes that lie between operations at one time. What is fed and what is asked for belongs to the caller. */
export function liveBytes(graph: Graph): number {
  const schedule = new Schedule(graph);
  const results = new Set([...graph.outputs.values()].map((value) => schedule.of(value)));
  const lastUse = new Map<Value, Value>();
  for (const value of schedule.values) {
    for (const input of schedule.inputsOf(value)) lastUse.set(input, value);
  }
  const held = new Map<Value, number>();
  let now = 0;
  let most = 0;
  for (const value of schedule.values) {
    const dying = [...schedule.inputsOf(value)].filter((input) => lastUse.get(input) === value);
    const size = results.has(value) || isView(value) ? 0 : bytesOf(value);
    const reused = inPlace.has(value.kind)
      ? dying.find((input) => size > 0 && held.get(input) === size)
      : undefined;
    if (reused) {
      held.delete(reused);
      now -= size;
    }
    now += size;
    held.set(value, size);
    most = Math.max(most, now + scratchBytes(value));
    for (const input of dying) {
      now -= held.get(input) ?? 0;
      held.delete(input);
    }
  }
  return most;
}

/**
 * The allocator of a session grows in regions, each twice as large as the one before, gives the smallest hole that
 * fits whole unless it is twice too large, and moves nothing. Held against 50 layer graphs (135M, 7B and a toy;
 * T = 64 to 2048; float32, int8, Q8_0, Q4_0; forward, backward and evaluation), whose values have many sizes, the
 * regions took 1.5 to 2.2 times the live bytes; of the head, whose tiles are alike, 1.05 to 1.2 times.
 */
export const regionsOf = { layer: 1.9, head: 1.15 } as const;

/** Graph, kernels and thread pool of a session. */
const sessionBytes = 2 ** 20;

/** Zeros that rows are added to: a constant, which a session keeps. */
const constantBytes = ({ outputs }: Graph): number =>
  ancestors(outputs.values())
    .filter(({ kind }) => kind === 'scatter_add_rows')
    .reduce((sum, value) => sum + bytesOf(value), 0);

/** What a session of this graph keeps after its first run. */
export const heldBytes = (graph: Graph, regions: number): number =>
  sessionBytes + constantBytes(graph) + regions * liveBytes(graph);

/** Results of a graph: the binding makes each once more before it is copied to where it belongs. */
export const resultBytes = ({ outputs }: Graph): number =>
  [...outputs.values()].reduce((sum, value) => sum + bytesOf(value), 0);
