// The row order of q and k. Hugging Face rotates the halves of a head (x[i] with x[i + d/2]); llama.cpp's
// architecture `llama` rotates neighbours (x[2i] with x[2i + 1]), so the converter interleaves the rows of
// each head. Holds for the weights and biases of q_proj and k_proj and for LoRA's B matrices on them.
// Source: convert_hf_to_gguf.py, LlamaModel.permute.

type RowOf = (half: number, index: number, halfRows: number) => number;

const paired: RowOf = (half, index) => 2 * index + half;
const halved: RowOf = (half, index, halfRows) => half * halfRows + index;

/** Copies each row of each head from `from(...)` to `to(...)`. */
function move<T extends Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>>(
  values: Float32Array | Uint8Array,
  out: T,
  rows: number,
  { heads, ...order }: { readonly heads: number; readonly from: RowOf; readonly to: RowOf },
): T {
  const headRows = rows / heads;
  const width = values.length / rows;
  if (!Number.isInteger(width) || !Number.isInteger(headRows) || headRows % 2 !== 0)
    throw new RangeError(`${rows} rows of ${values.length} values cannot be ${heads} heads`);
  const halfRows = headRows / 2;
  for (let head = 0; head < heads; head++) {
    for (let half = 0; half < 2; half++) {
      for (let index = 0; index < halfRows; index++) {
        const from = (head * headRows + order.from(half, index, halfRows)) * width;
        const to = (head * headRows + order.to(half, index, halfRows)) * width;
        out.set(values.subarray(from, from + width), to);
      }
    }
  }
  return out;
}

/**
 * Rows from Hugging Face's order to GGUF's. `values` is [rows, width] row-major (width 1 for a bias);
 * `heads` is the number of heads of the matrix at hand: query heads for q, key/value heads for k.
 */
export function permuteQk(
  values: Float32Array,
  rows: number,
  heads: number,
): Float32Array<ArrayBuffer> {
  return move(values, new Float32Array(values.length), rows, { heads, from: halved, to: paired });
}

/** The inverse of permuteQk: from GGUF's order to Hugging Face's. */
export function unpermuteQk(
  values: Float32Array,
  rows: number,
  heads: number,
): Float32Array<ArrayBuffer> {
  return move(values, new Float32Array(values.length), rows, { heads, from: paired, to: halved });
}

/** As unpermuteQk, of rows as they are stored: whole blocks, so that bytes move and no number changes. */
export function unpermuteQkBytes(
  bytes: Uint8Array,
  rows: number,
  heads: number,
): Uint8Array<ArrayBuffer> {
  return move(bytes, new Uint8Array(bytes.length), rows, { heads, from: paired, to: halved });
}
