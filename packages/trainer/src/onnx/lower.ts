// Turns a graph into an ONNX model: one entry an operation. Only what the results need is visited, and
// kernels that compute two values at once are shared through the emitter. Knows nothing of training.
import { composites } from '../graph/composites.ts';
import type { Graph } from '../graph/graph.ts';
import { ancestors, isInput } from '../graph/graph.ts';
import type { Node, OpTable, Value } from '../graph/value.ts';
import { dispatch, elementCount } from '../graph/value.ts';
import type { OnnxModel, TensorInfo } from './emitter.ts';
import { createEmitter } from './emitter.ts';
import type { Lowering } from './lowering.ts';
import { single } from './lowering.ts';
import { int8Matmul, int8ProductSum } from './int8-products.ts';
import { matmul, productSum } from './products.ts';
import { findProductSums } from './product-sums.ts';

type Named = (node: Value, lowering: Lowering) => string;

/** An ONNX operator with the same inputs and no attributes. */
const plain =
  (type: string): Named =>
  (node, lowering) =>
    single(lowering, { type, inputs: (node.inputs as readonly Value[]).map(lowering.nameOf) });

const reduction =
  (type: 'ReduceSum' | 'ReduceMax') =>
  (node: Node<'reduce_sum'> | Node<'reduce_max'>, lowering: Lowering): string =>
    single(lowering, {
      type,
      inputs: [lowering.nameOf(node.inputs[0]), lowering.emitter.integers(node.attributes.axes)],
      attributes: { keepdims: 1 },
    });

const rmsNorm = ({ inputs, attributes: { epsilon } }: Node<'rms_norm'>, lowering: Lowering) =>
  single(lowering, {
    type: 'SimplifiedLayerNormalization',
    inputs: inputs.map(lowering.nameOf),
    attributes: { axis: -1, epsilon: { float: epsilon }, stash_type: 1 },
  });

/**
 * 1 / sqrt(mean(x²) + ε) in small steps: SimplifiedLayerNormalization has it as its second result, but only
 * on the CPU (ONNX Runtime 1.30 leaves it unwritten on WebGPU).
 */
const inverseRms = (node: Node<'inverse_rms'>, lowering: Lowering): string => {
  const { emitter, nameOf } = lowering;
  const [x] = node.inputs;
  const filled = (value: number): string => emitter.filled(value, [1]);
  const step = (type: string, ...inputs: string[]): string => single(lowering, { type, inputs });
  const squares = single(lowering, {
    type: 'ReduceSumSquare',
    inputs: [nameOf(x), emitter.integers([-1])],
    attributes: { keepdims: 1 },
  });
  const mean = step('Mul', squares, filled(1 / (x.shape.at(-1) ?? 1)));
  return step('Reciprocal', step('Sqrt', step('Add', mean, filled(node.attributes.epsilon))));
};

/** Two columns share a byte: the low halves first, then the high ones. */
const unpackNibbles = (
  { inputs: [packed] }: Node<'unpack_nibbles'>,
  lowering: Lowering,
): string => {
  const { emitter, nameOf } = lowering;
  const inputs = [nameOf(packed)];
  const low = single(lowering, { type: 'BitwiseAnd', inputs: [...inputs, emitter.byte(15)] });
  const high = single(lowering, {
    type: 'BitShift',
    inputs: [...inputs, emitter.byte(4)],
    attributes: { direction: 'RIGHT' },
  });
  return single(lowering, { type: 'Concat', inputs: [low, high], attributes: { axis: 1 } });
};

/**
 * Each block a row with one scale: that kernel runs at memory speed (3.5 % of the product at 512 rows),
 * while the kernel for blocks inside rows takes six times as long.
 */
const dequantise = (node: Node<'dequantise'>, lowering: Lowering): string => {
  const { emitter, nameOf } = lowering;
  const [levels, scales] = node.inputs;
  const { zero } = node.attributes;
  const blocks = elementCount(scales.shape);
  const reshape = (name: string, shape: readonly number[]): string =>
    single(lowering, { type: 'Reshape', inputs: [name, emitter.integers(shape)] });
  const zeros =
    zero === 0
      ? []
      : [
          single(lowering, {
            type: 'Expand',
            inputs: [emitter.byte(zero), emitter.integers([blocks])],
          }),
        ];
  const whole = single(lowering, {
    type: 'DequantizeLinear',
    inputs: [reshape(nameOf(levels), [blocks, -1]), reshape(nameOf(scales), [blocks]), ...zeros],
    attributes: { axis: 0 },
  });
  return reshape(whole, node.shape);
};

const scatterAddRows = (node: Node<'scatter_add_rows'>, lowering: Lowering): string => {
  const [updates, ids] = node.inputs;
  const { emitter, nameOf } = lowering;
  const column = single(lowering, {
    type: 'Reshape',
    inputs: [nameOf(ids), emitter.integers([-1, 1])],
  });
  // ScatterElements, not ScatterND: its additions run in the order of the rows, so sums are repeatable.
  const index = single(lowering, {
    type: 'Expand',
    inputs: [column, emitter.integers(updates.shape)],
  });
  return single(lowering, {
    type: 'ScatterElements',
    inputs: [emitter.filled(0, node.shape), index, nameOf(updates)],
    attributes: { axis: 0, reduction: 'add' },
  });
};

const slice = (node: Node<'slice'>, { emitter, nameOf }: Lowering): string => {
  const { axis, start, end } = node.attributes;
  const bounds = [[start], [end], [axis]].map((list) => emitter.integers(list));
  return emitter.emit({ type: 'Slice', inputs: [nameOf(node.inputs[0]), ...bounds] })[0] ?? '';
};

const pad = (node: Node<'pad'>, { emitter, nameOf }: Lowering): string => {
  const { axis, before, after } = node.attributes;
  const at = (amount: number): number[] => node.shape.map((_, i) => (i === axis ? amount : 0));
  const amounts = emitter.integers([...at(before), ...at(after)]);
  return emitter.emit({ type: 'Pad', inputs: [nameOf(node.inputs[0]), amounts] })[0] ?? '';
};

const rope = (node: Node<'rope'>, lowering: Lowering): string => {
  const [x, positions, cos, sin] = node.inputs.map(lowering.nameOf);
  const turned = node.attributes.inverse
    ? single(lowering, { type: 'Neg', inputs: [sin ?? ''] })
    : sin;
  return single(lowering, {
    type: 'RotaryEmbedding',
    domain: 'com.microsoft',
    inputs: [x ?? '', positions ?? '', cos ?? '', turned ?? ''],
    attributes: { interleaved: 0 },
  });
};

const lowerings: OpTable<[Lowering], string> = {
  input: ({ attributes }) => attributes.name,
  fill: ({ attributes, shape }, { emitter }) => emitter.filled(attributes.value, shape),
  add: (node, lowering) => {
    const sum = lowering.sums.get(node);
    if (!sum) return plain('Add')(node, lowering);
    return sum.int8
      ? int8ProductSum(sum.int8, sum.product, lowering)
      : productSum(sum.product, sum.rest, lowering);
  },
  sub: plain('Sub'),
  mul: plain('Mul'),
  max: plain('Max'),
  greater_equal: (node, lowering) =>
    single(lowering, {
      type: 'Cast',
      inputs: [plain('GreaterOrEqual')(node, lowering)],
      attributes: { to: 1 },
    }),
  scale: ({ inputs: [x], attributes: { factor } }, lowering) =>
    single(
      lowering,
      factor === -1
        ? { type: 'Neg', inputs: [lowering.nameOf(x)] }
        : { type: 'Mul', inputs: [lowering.nameOf(x), lowering.emitter.filled(factor, [])] },
    ),
  sigmoid: plain('Sigmoid'),
  log: plain('Log'),
  reshape: ({ inputs: [x], shape }, lowering) =>
    single(lowering, {
      type: 'Reshape',
      inputs: [lowering.nameOf(x), lowering.emitter.integers(shape)],
    }),
  transpose: ({ inputs: [x], attributes: { order } }, lowering) =>
    single(lowering, {
      type: 'Transpose',
      inputs: [lowering.nameOf(x)],
      attributes: { perm: order },
    }),
  slice,
  pad,
  concat: (node, lowering) =>
    single(lowering, {
      type: 'Concat',
      inputs: node.inputs.map(lowering.nameOf),
      attributes: { axis: node.attributes.axis },
    }),
  broadcast: ({ inputs: [x], shape }, lowering) =>
    single(lowering, {
      type: 'Expand',
      inputs: [lowering.nameOf(x), lowering.emitter.integers(shape)],
    }),
  reduce_sum: reduction('ReduceSum'),
  reduce_max: reduction('ReduceMax'),
  gather_rows: plain('Gather'),
  scatter_add_rows: scatterAddRows,
  pick: ({ inputs: [x, ids] }, lowering) => {
    const column = single(lowering, {
      type: 'Reshape',
      inputs: [lowering.nameOf(ids), lowering.emitter.integers([-1, 1])],
    });
    return single(lowering, {
      type: 'GatherElements',
      inputs: [lowering.nameOf(x), column],
      attributes: { axis: 1 },
    });
  },
  matmul,
  int8_matmul: int8Matmul,
  unpack_nibbles: unpackNibbles,
  dequantise,
  softmax: ({ inputs: [x] }, lowering) =>
    single(lowering, {
      type: 'Softmax',
      inputs: [lowering.nameOf(x)],
      attributes: { axis: -1 },
    }),
  rms_norm: rmsNorm,
  inverse_rms: inverseRms,
  rope,
  silu: (node, lowering) => lowering.nameOf(composites.silu(node)),
  attention_block: (node, lowering) => lowering.nameOf(composites.attention_block(node)),
  linear_cross_entropy: (node, lowering) => lowering.nameOf(composites.linear_cross_entropy(node)),
};

/** The ONNX model that computes the graph's outputs from its inputs and given values. */
export const lower = ({ outputs, given = new Map() }: Graph): OnnxModel => {
  const emitter = createEmitter();
  const values = ancestors(outputs.values(), given);
  const names = new Map<Value, string>(given);
  const { sums, absorbed } = findProductSums(values, { outputs, given });
  const lowering: Lowering = {
    emitter,
    sums,
    nameOf(value) {
      const name = names.get(value) ?? dispatch(lowerings, value, lowering);
      names.set(value, name);
      return name;
    },
  };
  const inputs: TensorInfo[] = [];
  for (const value of values) {
    const name = given.get(value) ?? (isInput(value) ? value.attributes.name : undefined);
    if (name !== undefined) inputs.push({ name, shape: value.shape, dtype: value.dtype });
    else if (!absorbed.has(value)) lowering.nameOf(value);
  }
  return emitter.finish(
    inputs,
    [...outputs].map(([name, value]) => ({
      name,
      shape: value.shape,
      dtype: value.dtype,
      from: lowering.nameOf(value),
    })),
  );
};
