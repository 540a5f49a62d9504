// float32 to ggml blocks. Stub of the public shape.

export const quantisableTypes = ['F32', 'F16', 'BF16', 'Q8_0', 'Q4_0'] as const;
export type QuantisableType = (typeof quantisableTypes)[number];

/** Whole rows of float32 to `type`, equal bit for bit to ggml's quantize_row_*_ref. */
export function quantise(_type: QuantisableType, _values: Float32Array): Uint8Array<ArrayBuffer> {
  throw new Error('not written yet');
}
