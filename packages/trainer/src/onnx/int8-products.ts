// The product with frozen 8-bit integers as ONNX nodes (int8_matmul in graph/value.ts): rows in bytes, an
// integer product, scales, and the outlier columns in float32.
import type { Node } from '../graph/value.ts';
import type { Lowering } from './lowering.ts';
import { single } from './lowering.ts';

/** Levels of the unsigned bytes around this one: the integer kernel takes unsigned times signed. */
const zeroLevel = 128;
const largestLevel = 127;

/** Rows of x in bytes and the factor that takes each back, [M, 1]; the factor is never 0. */
const quantiseRows = (
  x: string,
  rows: number,
  lowering: Lowering,
): { bytes: string; factor: string } => {
  const { emitter } = lowering;
  const extreme = (type: 'ReduceMax' | 'ReduceMin'): string =>
    single(lowering, { type, inputs: [x, emitter.integers([1])], attributes: { keepdims: 1 } });
  const lowest = single(lowering, { type: 'Neg', inputs: [extreme('ReduceMin')] });
  const largest = single(lowering, {
    type: 'Max',
    inputs: [extreme('ReduceMax'), lowest, emitter.filled(smallestRow, [])],
  });
  const factor = single(lowering, {
    type: 'Mul',
    inputs: [largest, emitter.filled(1 / largestLevel, [])],
  });
  const perRow = emitter.integers([rows]);
  const bytes = single(lowering, {
    type: 'QuantizeLinear',
    inputs: [
      x,
      single(lowering, { type: 'Reshape', inputs: [factor, perRow] }),
      single(lowering, { type: 'Expand', inputs: [emitter.byte(zeroLevel), perRow] }),
    ],
    attributes: { axis: 0 },
  });
  return { bytes, factor };
};

/** A row of zeros is divided by this over 127, which is a normal float32. */
const smallestRow = 2 ** -100;

/**
 * Columns of the right operand that one integer product takes. The kernel packs them as it goes, from rows
 * that lie as far apart as the operand is wide: at 11008 columns a whole product took three times as long
 * as its pieces, at 4096 one and a half times, at 2048 as long.
 */
const productColumns = 512;
const wideProduct = 4096;

/** The pieces [start, end) that a product of so many columns is computed in. */
const columnPieces = (columns: number): (readonly [number, number])[] => {
  const size = columns < wideProduct ? columns : productColumns;
  return Array.from({ length: Math.ceil(columns / size) }, (_, i) => [
    i * size,
    Math.min(columns, (i + 1) * size),
  ]);
};

/** u8 bytes [M, ·] times int8 weight [N, K] or its transpose, in float32 and by the channels' scales. */
const integerProduct = (bytes: string, node: Node<'int8_matmul'>, lowering: Lowering): string => {
  const { emitter, nameOf } = lowering;
  const [, weight, scales] = node.inputs;
  const { transposeB } = node.attributes;
  const one = emitter.filled(1, []);
  const columns = node.shape[1] ?? 0;
  const pieces = columnPieces(columns).map(([start, end]) => {
    const cut = (name: string, axis: number): string => {
      if (end - start === columns) return name;
      const bounds = [[start], [end], [axis]].map((list) => emitter.integers(list));
      return single(lowering, { type: 'Slice', inputs: [name, ...bounds] });
    };
    const rows = cut(nameOf(weight), transposeB ? 0 : 1);
    const right = transposeB
      ? single(lowering, { type: 'Transpose', inputs: [rows], attributes: { perm: [1, 0] } })
      : rows;
    return single(lowering, {
      type: 'MatMulIntegerToFloat',
      domain: 'com.microsoft',
      inputs: [
        bytes,
        right,
        one,
        transposeB ? cut(nameOf(scales), 0) : one,
        emitter.byte(zeroLevel),
      ],
    });
  });
  if (pieces.length === 1) return pieces[0] ?? '';
  return single(lowering, { type: 'Concat', inputs: pieces, attributes: { axis: 1 } });
};

/** Without the outlier columns. */
const roundedProduct = (node: Node<'int8_matmul'>, lowering: Lowering): string => {
  const { nameOf } = lowering;
  const [x, , scales, keep] = node.inputs;
  const [rows = 1] = x.shape;
  // Outlier columns are taken out before rounding; the backward direction takes the scales in instead.
  const factors = node.attributes.transposeB ? keep : scales;
  const folded = factors
    ? single(lowering, { type: 'Mul', inputs: [nameOf(x), nameOf(factors)] })
    : nameOf(x);
  const { bytes, factor } = quantiseRows(folded, rows, lowering);
  const product = integerProduct(bytes, node, lowering);
  return single(lowering, { type: 'Mul', inputs: [product, factor] });
};

/** left·rightᵀ + addend */
const addProduct = (
  left: string,
  right: string,
  { addend, lowering }: { addend: string; lowering: Lowering },
): string =>
  single(lowering, {
    type: 'Gemm',
    inputs: [left, right, addend],
    attributes: { transA: 0, transB: 1, alpha: { float: 1 }, beta: { float: 1 } },
  });

/** The outlier columns of x [M, O] and their weights [N, O]. */
const outlierOperands = (
  { inputs: [x, , , , columns, weights] }: Node<'int8_matmul'>,
  lowering: Lowering,
): { taken: string; weights: string } | null => {
  const { nameOf } = lowering;
  if (!columns || !weights) return null;
  const inputs = [nameOf(x), nameOf(columns)];
  const taken = single(lowering, { type: 'Gather', inputs, attributes: { axis: 1 } });
  return { taken, weights: nameOf(weights) };
};

export const int8Matmul = (node: Node<'int8_matmul'>, lowering: Lowering): string => {
  const addend = roundedProduct(node, lowering);
  const outliers = outlierOperands(node, lowering);
  if (!outliers) return addend;
  return addProduct(outliers.taken, outliers.weights, { addend, lowering });
};

/** The same and another thin product, which the outlier columns join: one pass over the result for both. */
export const int8ProductSum = (
  node: Node<'int8_matmul'>,
  { inputs: [left, right], attributes: { scale } }: Node<'matmul'>,
  lowering: Lowering,
): string => {
  const { emitter, nameOf } = lowering;
  const addend = roundedProduct(node, lowering);
  const join = (...inputs: string[]): string =>
    single(lowering, { type: 'Concat', inputs, attributes: { axis: 1 } });
  const outliers = outlierOperands(node, lowering);
  const scaled = single(lowering, {
    type: 'Mul',
    inputs: [nameOf(right), emitter.filled(scale, [])],
  });
  const lefts = outliers ? join(outliers.taken, nameOf(left)) : nameOf(left);
  const rights = outliers ? join(outliers.weights, scaled) : scaled;
  return addProduct(lefts, rights, { addend, lowering });
};
