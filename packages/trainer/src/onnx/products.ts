// Matrix products in float32 as ONNX nodes: plain, with operands transposed or scaled, and with an addend.
import type { Node, Value } from '../graph/value.ts';
import type { Lowering } from './lowering.ts';
import { single } from './lowering.ts';

/** A result this narrow is computed as its transpose where the left operand is transposed anyway. */
const narrow = 32;

/**
 * aᵀ·b with few columns: the kernel works through the long side as columns faster than as rows (1536 x 16 of
 * 512 steps: 0.29 instead of 0.44 ms, the transposition included).
 */
const narrowProduct = (node: Node<'matmul'>, lowering: Lowering): string => {
  const { transposeB, scale } = node.attributes;
  const [a, b] = node.inputs.map(lowering.nameOf);
  const turned = single(lowering, {
    type: 'FusedMatMul',
    domain: 'com.microsoft',
    inputs: [b ?? '', a ?? ''],
    attributes: { transA: Number(!transposeB), transB: 0, alpha: { float: scale } },
  });
  return single(lowering, { type: 'Transpose', inputs: [turned], attributes: { perm: [1, 0] } });
};

const isNarrow = ({ shape, attributes }: Node<'matmul'>): boolean => {
  const [rows = 0, columns = 0] = shape;
  return (
    shape.length === 2 && attributes.transposeA && columns <= narrow && rows >= narrow * columns
  );
};

export const matmul = (node: Node<'matmul'>, lowering: Lowering): string => {
  const { transposeA, transposeB, scale } = node.attributes;
  if (isNarrow(node)) return narrowProduct(node, lowering);
  const inputs = node.inputs.map(lowering.nameOf);
  if (!transposeA && !transposeB && scale === 1)
    return single(lowering, { type: 'MatMul', inputs });
  return single(lowering, {
    type: 'FusedMatMul',
    domain: 'com.microsoft',
    inputs,
    attributes: {
      transA: Number(transposeA),
      transB: Number(transposeB),
      alpha: { float: scale },
    },
  });
};

/** product + rest, in one node */
export const productSum = (
  { inputs, attributes }: Node<'matmul'>,
  rest: Value,
  lowering: Lowering,
): string =>
  single(lowering, {
    type: 'Gemm',
    inputs: [...inputs, rest].map(lowering.nameOf),
    attributes: {
      transA: Number(attributes.transposeA),
      transB: Number(attributes.transposeB),
      alpha: { float: attributes.scale },
      beta: { float: 1 },
    },
  });
