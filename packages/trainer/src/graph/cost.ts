// What computing a value costs on a CPU core, roughly: floating-point operations, and nanoseconds at
// typical rates. Good for choosing between keeping and recomputing, and for figures in FLOP; no more.
import type { Node, OpTable, Value } from './value.ts';
import { dispatch, elementCount } from './value.ts';

export interface Cost {
  readonly flops: number;
  readonly nanoseconds: number;
}

/** Matrix products run near the peak of a core (measured 90–190 GFLOP/s); the rest runs at memory speed. */
const flopsPerNanosecond = 100;
const bytesPerNanosecond = 10;

const size = (value: Value): number => elementCount(value.shape);

const product = (flops: number): Cost => ({ flops, nanoseconds: flops / flopsPerNanosecond });
const nothing: Cost = { flops: 0, nanoseconds: 0 };

/** Reads its inputs, writes its result, does little in between. */
const pass =
  (flopsPerElement: number) =>
  (node: Value): Cost => ({
    flops: flopsPerElement * size(node),
    nanoseconds:
      (4 * (node.inputs as readonly Value[]).reduce((n, value) => n + size(value), size(node))) /
      bytesPerNanosecond,
  });

const move = pass(0);

const costs: OpTable<[], Cost> = {
  input: () => nothing,
  fill: () => nothing,
  add: pass(1),
  sub: pass(1),
  mul: pass(1),
  max: pass(1),
  greater_equal: pass(1),
  scale: pass(1),
  sigmoid: pass(8),
  log: pass(8),
  reshape: () => nothing,
  transpose: move,
  slice: move,
  pad: move,
  concat: move,
  broadcast: move,
  reduce_sum: pass(1),
  reduce_max: pass(1),
  gather_rows: (node) => ({ flops: 0, nanoseconds: (8 * size(node)) / bytesPerNanosecond }),
  scatter_add_rows: move,
  pick: (node) => ({ flops: 0, nanoseconds: (8 * size(node)) / bytesPerNanosecond }),
  matmul: (node) => {
    const [a] = node.inputs;
    const inner = a.shape.at(node.attributes.transposeA ? -2 : -1) ?? 1;
    return product(2 * inner * size(node));
  },
  // Three times the rate of float32 (measured 2.7 to 3.5), and three passes over x and the result.
  int8_matmul: (node) => {
    const [x, weight] = node.inputs;
    const { flops, nanoseconds } = product(2 * size(weight) * (x.shape[0] ?? 1));
    return {
      flops,
      nanoseconds: nanoseconds / 3 + (4 * (size(x) + 2 * size(node))) / bytesPerNanosecond,
    };
  },
  unpack_nibbles: (node) => ({ flops: 0, nanoseconds: size(node) / bytesPerNanosecond }),
  dequantise: (node) => ({
    flops: 2 * size(node),
    nanoseconds: (5 * size(node)) / bytesPerNanosecond,
  }),
  softmax: pass(10),
  rms_norm: pass(4),
  inverse_rms: pass(2),
  rope: pass(3),
  silu: pass(9),
  attention_block: ({ inputs: [q, , v, mask] }: Node<'attention_block'>) => {
    const [groups = 1, rows = 1, width = 1] = q.shape;
    const keys = mask.shape.at(-1) ?? 1;
    return product(2 * groups * rows * keys * (width + (v.shape.at(-1) ?? 1)));
  },
  linear_cross_entropy: ({ inputs: [h, table] }) => product(2 * size(h) * (table.shape[0] ?? 1)),
};

export const cost = (value: Value): Cost => dispatch(costs, value);
