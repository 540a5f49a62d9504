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

/** 16-bit numbers as they lie; a view where they are aligned. */
const halvesOf = (bytes: Uint8Array): Uint16Array =>
  bytes.byteOffset % 2 === 0
    ? new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2)
    : new Uint16Array(new Uint8Array(bytes).buffer);

/** As signed numbers, which stay in registers; half of all unsigned ones do not. */
const bitsOf = ({ buffer, byteOffset, length }: Float32Array | Uint32Array): Int32Array =>
  new Int32Array(buffer, byteOffset, length);

const bitsOfHalf = bitsOf(halfBitsTable);

// Loops of their own over plain arguments: one loop that is told what to do with each number is several times slower.
// Bits and not numbers are copied: a NaN keeps its payload.
const widenHalves = (halves: Uint16Array, bits: Int32Array): void => {
  const table = bitsOfHalf;
  for (let i = 0; i < bits.length; i++) bits[i] = table[halves[i] as number] as number;
};
const widenBrainHalves = (halves: Uint16Array, bits: Int32Array): void => {
  for (let i = 0; i < bits.length; i++) bits[i] = (halves[i] as number) << 16;
};

const widenF16: DequantiseBlocks = (bytes, out) => widenHalves(halvesOf(bytes), bitsOf(out));
const widenBF16: DequantiseBlocks = (bytes, out) => widenBrainHalves(halvesOf(bytes), bitsOf(out));

const functions: Record<DequantisableType, DequantiseBlocks> = {
  F32: copyF32,
  F16: widenF16,
  BF16: widenBF16,
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
