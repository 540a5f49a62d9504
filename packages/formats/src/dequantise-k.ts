// float32 from ggml's super-blocks of 256 elements: Q4_K, Q5_K, Q6_K. Source: ggml-quants.c,
// dequantize_row_*. All products fit 24 bits (11 of the scale, 6 to 8 of the sub-scale, 4 to 6 of the
// value), so one rounding on storing gives C's bits. Callers have checked the lengths, hence `as number`.
import type { DequantiseBlocks } from './dequantise-blocks.ts';
import { halfTable } from './float16.ts';

const half = (bytes: Uint8Array, at: number): number =>
  halfTable[(bytes[at] as number) | ((bytes[at + 1] as number) << 8)] as number;

/** Sub-scale `j` (0 to 7) of the 12 bytes at `at`: 6 bits each, the last four split. */
export function subScale(bytes: Uint8Array, at: number, j: number): number {
  if (j < 4) return (bytes[at + j] as number) & 63;
  return ((bytes[at + j + 4] as number) & 15) | (((bytes[at + j - 4] as number) >> 6) << 4);
}

/** Sub-minimum `j`, packed beside the scales. */
export function subMin(bytes: Uint8Array, at: number, j: number): number {
  if (j < 4) return (bytes[at + j + 4] as number) & 63;
  return ((bytes[at + j + 4] as number) >> 4) | (((bytes[at + j] as number) >> 6) << 4);
}

/** d, dmin, 12 bytes of 6-bit scales and minimums, 128 bytes of nibbles. */
export const dequantiseQ4_K: DequantiseBlocks = (bytes, out) => {
  for (let at = 0, o = 0; o < out.length; at += 144) {
    const d = half(bytes, at);
    const dmin = half(bytes, at + 2);
    for (let pair = 0; pair < 4; pair++, o += 64) {
      const d1 = d * subScale(bytes, at + 4, 2 * pair);
      const m1 = dmin * subMin(bytes, at + 4, 2 * pair);
      const d2 = d * subScale(bytes, at + 4, 2 * pair + 1);
      const m2 = dmin * subMin(bytes, at + 4, 2 * pair + 1);
      const nibbles = at + 16 + 32 * pair;
      for (let l = 0; l < 32; l++) {
        const q = bytes[nibbles + l] as number;
        out[o + l] = d1 * (q & 15) - m1;
        out[o + l + 32] = d2 * (q >> 4) - m2;
      }
    }
  }
};

/** As Q4_K, with 32 bytes of fifth bits before the nibbles: bit 2·pair and 2·pair + 1 of byte l. */
export const dequantiseQ5_K: DequantiseBlocks = (bytes, out) => {
  for (let at = 0, o = 0; o < out.length; at += 176) {
    const d = half(bytes, at);
    const dmin = half(bytes, at + 2);
    for (let pair = 0; pair < 4; pair++, o += 64) {
      const d1 = d * subScale(bytes, at + 4, 2 * pair);
      const m1 = dmin * subMin(bytes, at + 4, 2 * pair);
      const d2 = d * subScale(bytes, at + 4, 2 * pair + 1);
      const m2 = dmin * subMin(bytes, at + 4, 2 * pair + 1);
      const nibbles = at + 48 + 32 * pair;
      for (let l = 0; l < 32; l++) {
        const q = bytes[nibbles + l] as number;
        const high = (bytes[at + 16 + l] as number) >> (2 * pair);
        out[o + l] = d1 * ((q & 15) + ((high & 1) << 4)) - m1;
        out[o + l + 32] = d2 * ((q >> 4) + ((high & 2) << 3)) - m2;
      }
    }
  }
};

/** 128 bytes of low nibbles, 64 of high bit pairs, 16 signed sub-scales, d. */
export const dequantiseQ6_K: DequantiseBlocks = (bytes, out) => {
  const signed = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0, o = 0; o < out.length; at += 210) {
    const d = half(bytes, at + 208);
    for (let n = 0; n < 2; n++, o += 128) {
      const low = at + 64 * n;
      const high = at + 128 + 32 * n;
      const scales = at + 192 + 8 * n;
      for (let l = 0; l < 32; l++) {
        const s = scales + (l >> 4);
        const a = bytes[low + l] as number;
        const b = bytes[low + l + 32] as number;
        const h = bytes[high + l] as number;
        out[o + l] = d * (signed[s] as number) * (((a & 15) | ((h & 3) << 4)) - 32);
        out[o + l + 32] = d * (signed[s + 2] as number) * (((b & 15) | ((h & 12) << 2)) - 32);
        out[o + l + 64] = d * (signed[s + 4] as number) * (((a >> 4) | (h & 48)) - 32);
        out[o + l + 96] = d * (signed[s + 6] as number) * (((b >> 4) | ((h & 192) >> 2)) - 32);
      }
    }
  }
};
