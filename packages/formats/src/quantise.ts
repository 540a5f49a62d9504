// float32 to the tensor types that Corral writes, equal bit for bit to ggml's reference quantisers
// (ggml-quants.c quantize_row_*_ref). float32 steps are rounded explicitly where C rounds them.
import { bfloat16Bits, halfBits } from './float16.ts';
import { tensorTypes } from './tensor-types.ts';

export type QuantisableType = 'F32' | 'F16' | 'BF16' | 'Q8_0' | 'Q4_0';

type QuantiseBlocks = (values: Float32Array, out: DataView) => void;

const { fround } = Math;

const narrow =
  (bits: (value: number) => number): QuantiseBlocks =>
  (values, out) => {
    // Models are narrowed by the billion: no iterator, no view.
    const target = new Uint16Array(out.buffer, out.byteOffset, values.length);
    for (let i = 0; i < values.length; i++) target[i] = bits(values[i] as number);
  };

/** d = max|x| / 127; q = x / d, half away from zero. */
const quantiseQ8_0: QuantiseBlocks = (values, out) => {
  for (let o = 0, at = 0; o < values.length; o += 32, at += 34) {
    let largest = 0;
    for (let j = 0; j < 32; j++) largest = Math.max(largest, Math.abs(values[o + j] as number));
    const d = fround(largest / 127);
    const inverse = d === 0 ? 0 : fround(1 / d);
    out.setUint16(at, halfBits(d), true);
    for (let j = 0; j < 32; j++) {
      const x = fround((values[o + j] as number) * inverse);
      out.setInt8(at + 2 + j, x < 0 ? -Math.floor(0.5 - x) : Math.floor(x + 0.5));
    }
  }
};

/** d = (the x of largest |x|) / −8, so that this x becomes −8 exactly; q = x / d + 8. */
const quantiseQ4_0: QuantiseBlocks = (values, out) => {
  for (let o = 0, at = 0; o < values.length; o += 32, at += 18) {
    let extreme = 0;
    for (let j = 0; j < 32; j++) {
      const value = values[o + j] as number;
      if (Math.abs(value) > Math.abs(extreme)) extreme = value;
    }
    const d = fround(extreme / -8);
    const inverse = d === 0 ? 0 : fround(1 / d);
    out.setUint16(at, halfBits(d), true);
    const nibble = (value: number): number =>
      Math.min(15, Math.trunc(fround(fround(value * inverse) + 8.5)));
    for (let j = 0; j < 16; j++) {
      const low = nibble(values[o + j] as number);
      const high = nibble(values[o + j + 16] as number);
      out.setUint8(at + 2 + j, low | (high << 4));
    }
  }
};

const functions: Record<QuantisableType, QuantiseBlocks> = {
  F32: (values, out) => {
    new Float32Array(out.buffer, out.byteOffset, values.length).set(values);
  },
  F16: narrow(halfBits),
  BF16: narrow(bfloat16Bits),
  Q8_0: quantiseQ8_0,
  Q4_0: quantiseQ4_0,
};

/** Whole blocks of float32 as `type`. RangeError when the length is no multiple of the block. */
export function quantise(type: QuantisableType, values: Float32Array): Uint8Array<ArrayBuffer> {
  const { blockSize, blockBytes } = tensorTypes[type];
  if (values.length % blockSize !== 0)
    throw new RangeError(`${values.length} values are no whole number of ${type} blocks`);
  const out = new Uint8Array((values.length / blockSize) * blockBytes);
  functions[type](values, new DataView(out.buffer));
  return out;
}
