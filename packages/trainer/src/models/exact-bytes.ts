// Whether this processor multiplies unsigned by signed bytes exactly. x86 without VNNI has one instruction
// for it, which adds pairs of products in 16 bits and cuts off what does not fit: a base in 8-bit integers
// would then train on wrong numbers. Nothing is asked of the processor's name: the product is tried.
import { input, int8Matmul } from '../graph/ops.ts';
import { lower } from '../onnx/lower.ts';
import { createRuntime, hostTensor } from '../runtime/runtime.ts';

const [rows, columns, depth] = [8, 32, 128];

async function tryProduct(): Promise<boolean> {
  await using runtime = createRuntime({ device: 'cpu', threads: 1 });
  const x = input('x', [rows, depth]);
  const weight = input('weight', [columns, depth], 'int8');
  const product = int8Matmul(x, weight, { scale: input('scale', [columns]), transposeB: true });
  const session = await runtime.createSession(lower({ outputs: new Map([['product', product]]) }));
  const result = new Float32Array(rows * columns);
  await session.run(
    {
      // Every byte is the largest: two products together need 17 bits.
      x: hostTensor(new Float32Array(rows * depth).fill(1), [rows, depth]),
      weight: hostTensor(new Int8Array(columns * depth).fill(127), [columns, depth]),
      scale: hostTensor(new Float32Array(columns).fill(1 / 127), [columns]),
    },
    { product: hostTensor(result, [rows, columns]) },
  );
  return result.every((value) => Math.abs(value / depth - 1) < 1e-5);
}

let answer: Promise<boolean> | undefined;

/** Tried once in a process, in some milliseconds. */
export const multipliesBytesExactly = (): Promise<boolean> => (answer ??= tryProduct());
