// Sums that take a product in, against the same numbers computed one after the other: an intermediate result
// that is asked for is never taken in.
import { afterAll, expect, test } from 'vitest';
import type { Node, Shape, Value } from '../graph/value.ts';
import { elementCount } from '../graph/value.ts';
import { add, input, int8Matmul, matmul } from '../graph/ops.ts';
import type { HostArray, HostTensor } from '../runtime/runtime.ts';
import { createRuntime, hostTensor } from '../runtime/runtime.ts';
import { fromBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema } from 'onnx-buf';
import { lower } from './lower.ts';

const runtime = createRuntime({ device: 'cpu', threads: 1 });
afterAll(() => runtime.close());

const wave = (shape: Shape, phase: number): Float32Array =>
  Float32Array.from({ length: elementCount(shape) }, (_, i) => Math.sin(phase + 2.3 * i));

const valuesOf = ({ shape, dtype, id }: Node<'input'>): HostArray => {
  const length = elementCount(shape);
  if (dtype === 'int64') return BigInt64Array.from({ length }, (_, i) => BigInt(3 * i));
  if (dtype === 'int8') return Int8Array.from({ length }, (_, i) => ((i * 37) % 255) - 127);
  return wave(shape, id);
};

const evaluate = async (outputs: ReadonlyMap<string, Value>, inputs: readonly Node<'input'>[]) => {
  const model = lower({ outputs });
  const session = await runtime.createSession(model);
  const feeds = Object.fromEntries(
    inputs.map((value): [string, HostTensor] => [
      value.attributes.name,
      hostTensor(valuesOf(value), value.shape),
    ]),
  );
  const results = Object.fromEntries(
    session.outputs.map(({ name, shape }) => [
      name,
      hostTensor(new Float32Array(elementCount(shape)), shape),
    ]),
  );
  await session.run(feeds, results);
  const types = fromBinary(ModelProtoSchema, model.bytes).graph?.node.map((n) => n.opType) ?? [];
  return { y: results['y']?.data as Float32Array, types };
};

const expectSame = (found: Float32Array, expected: Float32Array): void => {
  expect(found).toHaveLength(expected.length);
  const largest = Math.max(...expected.map(Math.abs));
  for (const [i, value] of found.entries())
    expect(Math.abs(value - (expected[i] ?? Number.NaN))).toBeLessThan(2e-6 * largest);
};

const [x, w, low, b] = [
  input('x', [6, 40]),
  input('w', [24, 40]),
  input('low', [6, 4]),
  input('b', [24, 4]),
] as const;

test('a sum of two products is the one with the other added in its kernel', async () => {
  const thick = matmul(x, w, { transposeB: true });
  const thin = matmul(low, b, { transposeB: true, scale: 1.7 });
  const sum = add(thick, thin);
  const fused = await evaluate(new Map([['y', sum]]), [x, w, low, b]);
  expect(fused.types).toEqual(['FusedMatMul', 'Gemm']);
  const parts = new Map([
    ['y', sum],
    ['thick', thick],
    ['thin', thin],
  ]);
  const apart = await evaluate(parts, [x, w, low, b]);
  expect(apart.types).toContain('Add');
  expectSame(fused.y, apart.y);
});

test('outlier columns join a thin product', async () => {
  const weight = input('weight', [24, 40], 'int8');
  const scales = input('scales', [24]);
  const outliers = [
    input('keep', [40]),
    input('columns', [3], 'int64'),
    input('outliers', [24, 3]),
  ] as const;
  const rounded = int8Matmul(x, weight, { scale: scales, transposeB: true, outliers });
  const thin = matmul(low, b, { transposeB: true, scale: 0.6 });
  const sum = add(thin, rounded);
  const inputs = [x, low, b, weight, scales, ...outliers];
  const fused = await evaluate(new Map([['y', sum]]), inputs);
  expect(fused.types.filter((type) => type === 'Gemm' || type === 'Add')).toEqual(['Gemm']);
  const parts = new Map([
    ['y', sum],
    ['rounded', rounded],
    ['thin', thin],
  ]);
  const apart = await evaluate(parts, inputs);
  expect(apart.types).toContain('Add');
  expectSame(fused.y, apart.y);
});
