// The embedding of tokens and its gradient: rows of a table, so no graph is needed.
import type { StoredTensor } from './model-tensors.ts';

/** out[i] = table[tokens[i]]: tokens [M], table [V, D] → [M, D] */
export const embedRows = (
  tokens: Int32Array,
  { data, shape }: StoredTensor,
  out: Float32Array,
): void => {
  const d = shape[1] ?? 0;
  for (const [i, token] of tokens.entries()) {
    out.set(data.subarray(token * d, (token + 1) * d), i * d);
  }
};

/** The gradient of `embedRows`, added in the order of the tokens. */
export const accumulateEmbedding = (
  tokens: Int32Array,
  dx: Float32Array,
  table: StoredTensor,
): void => {
  const { grad } = table;
  const d = table.shape[1] ?? 0;
  if (!grad) return;
  for (const [i, token] of tokens.entries()) {
    for (let j = 0; j < d; j++) {
      const at = token * d + j;
      grad[at] = (grad[at] ?? 0) + (dx[i * d + j] ?? 0);
    }
  }
};
