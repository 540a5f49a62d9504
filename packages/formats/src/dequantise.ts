// ggml blocks to float32. Stub of the public shape.
import type { TensorType } from './tensor-types.ts';

/** Whole rows of `type` to float32, equal bit for bit to ggml's dequantize_row_*. */
export function dequantise(_type: TensorType, _bytes: Uint8Array): Float32Array<ArrayBuffer> {
  throw new Error('not written yet');
}
