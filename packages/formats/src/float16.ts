// float16 and bfloat16 to and from float32, bit for bit as ggml does it (ggml-impl.h): to nearest even,
// NaN made quiet. Knows nothing of blocks.

const scratch = new ArrayBuffer(4);
const asFloat = new Float32Array(scratch);
const asBits = new Uint32Array(scratch);

/** The bits of the float32 with the value of a float16; NaN keeps its sign and payload, made quiet. */
function widenHalf(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 0x1f;
  const mantissa = half & 0x3ff;
  if (exponent === 31)
    return sign | 0x7f800000 | (mantissa << 13) | (mantissa === 0 ? 0 : 0x400000);
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (mantissa << 13);
  asFloat[0] = mantissa * 2 ** -24;
  return sign | (asBits[0] ?? 0);
}

/** float32 bits of every float16: 256 KiB, built once, so that decoding is one load. */
export const halfBitsTable: Uint32Array<ArrayBuffer> = Uint32Array.from(
  { length: 65_536 },
  (_, half) => widenHalf(half),
);

/** The same table as numbers. */
export const halfTable: Float32Array<ArrayBuffer> = new Float32Array(halfBitsTable.buffer);

/** float32 → float16 bits, to nearest even; ggml's NaN is sign | 0x7e00. */
export function halfBits(value: number): number {
  asFloat[0] = value;
  const bits = asBits[0] ?? 0;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  // 65520 and more round to infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Subnormal half: count in units of 2^-24; the float64 product is exact, so one rounding happens.
    const units = Math.abs(asFloat[0] ?? 0) * 2 ** 24;
    const floor = Math.floor(units);
    const rest = units - floor;
    const up = rest > 0.5 || (rest === 0.5 && floor % 2 === 1);
    return sign | (floor + (up ? 1 : 0));
  }
  const rebased = magnitude - 0x38000000;
  return sign | ((rebased + 0xfff + ((rebased >>> 13) & 1)) >>> 13);
}

/** float32 → bfloat16 bits, to nearest even. */
export function bfloat16Bits(value: number): number {
  asFloat[0] = value;
  const bits = asBits[0] ?? 0;
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 64;
  return ((bits + (0x7fff + ((bits >>> 16) & 1))) >>> 16) & 0xffff;
}
