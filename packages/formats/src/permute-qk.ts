// The row order of q and k differs between Hugging Face and GGUF for architecture `llama`. Stub.

/** Rows from Hugging Face's order (halves) to GGUF's (pairs); `heads` of the matrix at hand. */
export function permuteQk(
  _values: Float32Array,
  _rows: number,
  _heads: number,
): Float32Array<ArrayBuffer> {
  throw new Error('not written yet');
}

/** The inverse of permuteQk. */
export function unpermuteQk(
  _values: Float32Array,
  _rows: number,
  _heads: number,
): Float32Array<ArrayBuffer> {
  throw new Error('not written yet');
}
