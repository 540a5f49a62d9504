// float32 from ggml's blocks of 32 elements: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0. Source: ggml-quants.c,
// dequantize_row_*. A float16 scale times a 5- or 8-bit integer is exact in float32, so the single rounding
// when a double is stored gives the same bits as C does, with or without fused multiply-add.
// Callers have checked the lengths: reads are inside the arrays, hence `as number`.
import { halfTable } from './float16.ts';

/** From `bytes` (whole blocks) to `out`, one float32 for each element. */
export type DequantiseBlocks = (bytes: Uint8Array, out: Float32Array) => void;

const half = (bytes: Uint8Array, at: number): number =>
  halfTable[(bytes[at] as number) | ((bytes[at + 1] as number) << 8)] as number;

const uint32 = (bytes: Uint8Array, at: number): number =>
  (bytes[at] as number) |
  ((bytes[at + 1] as number) << 8) |
  ((bytes[at + 2] as number) << 16) |
  ((bytes[at + 3] as number) << 24);

/** d, 16 bytes of two nibbles: element j is the low nibble of byte j, element j + 16 the high one. */
export const dequantiseQ4_0: DequantiseBlocks = (bytes, out) => {
  for (let at = 0, o = 0; o < out.length; at += 18, o += 32) {
    const d = half(bytes, at);
    for (let j = 0; j < 16; j++) {
      const q = bytes[at + 2 + j] as number;
      out[o + j] = ((q & 15) - 8) * d;
      out[o + j + 16] = ((q >> 4) - 8) * d;
    }
  }
};

/** d, m, nibbles. */
export const dequantiseQ4_1: DequantiseBlocks = (bytes, out) => {
  for (let at = 0, o = 0; o < out.length; at += 20, o += 32) {
    const d = half(bytes, at);
    const m = half(bytes, at + 2);
    for (let j = 0; j < 16; j++) {
      const q = bytes[at + 4 + j] as number;
      out[o + j] = (q & 15) * d + m;
      out[o + j + 16] = (q >> 4) * d + m;
    }
  }
};

/** d, 32 fifth bits, nibbles. */
export const dequantiseQ5_0: DequantiseBlocks = (bytes, out) => {
  for (let at = 0, o = 0; o < out.length; at += 22, o += 32) {
    const d = half(bytes, at);
    const high = uint32(bytes, at + 2);
    for (let j = 0; j < 16; j++) {
      const q = bytes[at + 6 + j] as number;
      out[o + j] = (((q & 15) | (((high >>> j) << 4) & 16)) - 16) * d;
      out[o + j + 16] = (((q >> 4) | ((high >>> (j + 12)) & 16)) - 16) * d;
    }
  }
};

/** d, m, 32 fifth bits, nibbles. */
export const dequantiseQ5_1: DequantiseBlocks = (bytes, out) => {
  for (let at = 0, o = 0; o < out.length; at += 24, o += 32) {
    const d = half(bytes, at);
    const m = half(bytes, at + 2);
    const high = uint32(bytes, at + 4);
    for (let j = 0; j < 16; j++) {
      const q = bytes[at + 8 + j] as number;
      out[o + j] = ((q & 15) | (((high >>> j) << 4) & 16)) * d + m;
      out[o + j + 16] = ((q >> 4) | ((high >>> (j + 12)) & 16)) * d + m;
    }
  }
};

/** d, 32 signed bytes. */
export const dequantiseQ8_0: DequantiseBlocks = (bytes, out) => {
  const signed = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0, o = 0; o < out.length; at += 34, o += 32) {
    const d = half(bytes, at);
    for (let j = 0; j < 32; j++) out[o + j] = (signed[at + 2 + j] as number) * d;
  }
};
