// Packed weights multiply as the adapter's own do, in every format, and refuse what would not fit.
import { describe, expect, it } from 'vitest';
import { dequantise } from '@corral/formats';
import { unitScale } from '../llama-cpp/stack-formats.ts';
import type { PackedAdapter, StackFormat } from '../llama-cpp/stack-types.ts';
import type { LoraFile } from './lora-file.ts';
import { packAdapter, stackScale } from './pack-adapter.ts';

const inputs = 64;
const outputs = 6;

/** Numbers within ±size by a fixed pattern. */
const pattern = (length: number, size: number, seed: number): Float32Array =>
  Float32Array.from({ length }, (_, i) => Math.sin(i * 12.9898 + seed) * size);

function fileOf(pairs: readonly { target: string; rank: number; size?: number }[]): LoraFile {
  return {
    half: false,
    bytes: 0,
    pairs: pairs.map(({ target, rank, size = 0.1 }) => ({
      target,
      inputs,
      outputs,
      rank,
      scale: 2,
      read: () =>
        Promise.resolve({
          a: pattern(rank * inputs, 0.3, 1),
          // Columns of very different size.
          b: pattern(rank * outputs, size, 2).map((x, i) => x * 10 ** -(i % rank)),
        }),
    })),
  };
}

/** scale · B · A [outputs, inputs] from A [rank, inputs] and B [outputs, rank]. */
function product(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  rank: number,
  scale: number,
): number[] {
  return Array.from({ length: outputs * inputs }, (_, at) => {
    const [row, column] = [Math.floor(at / inputs), at % inputs];
    let sum = 0;
    for (let k = 0; k < rank; k++)
      sum += Number(b[row * rank + k]) * Number(a[k * inputs + column]);
    return sum * scale;
  });
}

function packedProduct({ format, rank, parts }: PackedAdapter, target: string): number[] {
  const { a, b } = parts.get(target) ?? { a: new Uint8Array(), b: new Uint8Array() };
  const type = ({ int8: 'Q8_0', float16: 'F16', float32: 'F32' } as const)[format];
  const bValues =
    format === 'int8' ? Array.from(Int8Array.from(b), (q) => q * unitScale) : dequantise(type, b);
  return product(dequantise(type, a), bValues, rank, stackScale[format]);
}

const largest = (values: readonly number[]): number => Math.max(...values.map(Math.abs));

describe('packAdapter', () => {
  it.each([
    ['float32', 1e-6],
    ['float16', 2e-3],
    ['int8', 1e-2],
  ] as [StackFormat, number][])('keeps scale · B · A as %s', async (format, tolerance) => {
    const file = fileOf([{ target: 'x', rank: 4 }]);
    const [pair] = file.pairs;
    const { a, b } = (await pair?.read()) ?? { a: [], b: [] };
    const expected = product(a, b, 4, 2);
    const found = packedProduct(await packAdapter(file, format), 'x');
    const off = found.map((value, i) => value - (expected[i] ?? 0));
    expect(largest(off) / largest(expected)).toBeLessThan(tolerance);
  });

  it('keeps what is a million times smaller as exactly', async () => {
    const packed = await packAdapter(fileOf([{ target: 'x', rank: 2, size: 1e-7 }]), 'int8');
    const expected = packedProduct(
      await packAdapter(fileOf([{ target: 'x', rank: 2, size: 1e-7 }]), 'float32'),
      'x',
    );
    const off = packedProduct(packed, 'x').map((value, i) => value - (expected[i] ?? 0));
    expect(largest(off) / largest(expected)).toBeLessThan(1e-2);
  });

  it('gives all targets the rank of the largest', async () => {
    const file = fileOf([
      { target: 'narrow', rank: 2 },
      { target: 'wide', rank: 5 },
    ]);
    const packed = await packAdapter(file, 'float32');
    expect(packed.rank).toBe(5);
    const [narrow] = file.pairs;
    const { a, b } = (await narrow?.read()) ?? { a: [], b: [] };
    const expected = product(a, b, 2, 2);
    for (const [i, value] of packedProduct(packed, 'narrow').entries())
      expect(value).toBeCloseTo(expected[i] ?? 0, 6);
  });

  it.each(['int8', 'float16', 'float32'] as const)(
    'refuses weights that are no finite numbers, as %s',
    async (format) => {
      for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
        const file = fileOf([{ target: 'x', rank: 1, size: bad }]);
        await expect(packAdapter(file, format)).rejects.toThrow(/not finite/);
      }
    },
  );

  it('refuses weights beyond the format', async () => {
    const file = fileOf([{ target: 'x', rank: 1, size: 1e30 }]);
    await expect(packAdapter(file, 'int8')).rejects.toThrow(/out of range/);
    await expect(packAdapter(file, 'float16')).rejects.toThrow(/out of range/);
  });
});
