// float32 from ggml's tensor types: one table from type to function. The arithmetic is in
// dequantise-blocks.ts and dequantise-k.ts; block sizes are in tensor-types.ts.
// Little-endian hosts only, as everywhere in this package.
import { dequantiseQ4_K, dequantiseQ5_K, dequantiseQ6_K } from './dequantise-k.ts';
import {
  dequantiseQ4_0,
  dequantiseQ4_1,
  dequantiseQ5_0,
  dequantiseQ5_1,
  dequantiseQ8_0,
  type DequantiseBlocks,
} from './dequantise-blocks.ts';
import { halfBitsTable } from './float16.ts';
import { FormatError } from './format-error.ts';
import { tensorTypes, type TensorType } from './tensor-types.ts';

/** The types that can be read as numbers. */
const dequantisableTypes = [
  'F32',
  'F16',
  'BF16',
  'Q4_0',
  'Q4_1',
  'Q5_0',
  'Q5_1',
  'Q8_0',
  'Q4_K',
  'Q5_K',
  'Q6_K',
] as const satisfies readonly TensorType[];
type DequantisableType = (typeof dequantisableTypes)[number];

const copyF32: DequantiseBlocks = (bytes, out) => {
  new Uint8Array(out.buffer, out.byteOffset, out.byteLength).set(bytes);
};

const widen = (bytes: Uint8Array, out: Float32Array, bits: (half: number) => number): void => {
  // Bits and not numbers are copied: a NaN keeps its payload.
  const target = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < target.length; i++)
    target[i] = bits((bytes[2 * i] as number) | ((bytes[2 * i + 1] as number) << 8));
};

const functions: Record<DequantisableType, DequantiseBlocks> = {
  F32: copyF32,
  F16: (bytes, out) => widen(bytes, out, (half) => halfBitsTable[half] as number),
  BF16: (bytes, out) => widen(bytes, out, (half) => half << 16),
  Q4_0: dequantiseQ4_0,
  Q4_1: dequantiseQ4_1,
  Q5_0: dequantiseQ5_0,
  Q5_1: dequantiseQ5_1,
  Q8_0: dequantiseQ8_0,
  Q4_K: dequantiseQ4_K,
  Q5_K: dequantiseQ5_K,
  Q6_K: dequantiseQ6_K,
};

const isDequantisable = (type: TensorType): type is DequantisableType => type in functions;

/**
 * `bytes` (whole blocks of `type`) as float32, equal bit for bit to ggml's dequantize_row_*.
 * FormatError for types without a function and for a broken block.
 */
export function dequantise(type: TensorType, bytes: Uint8Array): Float32Array<ArrayBuffer> {
  if (!isDequantisable(type))
    throw new FormatError(
      `tensors of type ${type} cannot be read; ${dequantisableTypes.join(', ')} can`,
    );
  const { blockSize, blockBytes } = tensorTypes[type];
  const blocks = bytes.byteLength / blockBytes;
  if (!Number.isInteger(blocks))
    throw new FormatError(`${bytes.byteLength} bytes are no whole number of ${type} blocks`);
  const out = new Float32Array(blocks * blockSize);
  functions[type](bytes, out);
  return out;
}
