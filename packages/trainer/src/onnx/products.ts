// Matrix products in float32 as ONNX nodes: plain, with operands transposed or scaled, and with an addend.
import type { Node, Value } from '../graph/value.ts';
import type { Lowering } from './lowering.ts';
import { single } from './lowering.ts';

export const matmul = (node: Node<'matmul'>, lowering: Lowering): string => {
  const { transposeA, transposeB, scale } = node.attributes;
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
