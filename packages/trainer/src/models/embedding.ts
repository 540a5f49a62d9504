// The embedding of tokens and its gradient: rows of a table, so no graph is needed.
import type { LayerTensor } from './model-tensors.ts';
import { isMatrix } from './model-tensors.ts';
import { readRow } from './weight-forms/frozen-matrix.ts';

/** out[i] = table[tokens[i]]: tokens [M], table [V, D] → [M, D] */
export const embedRows = (tokens: Int32Array, table: LayerTensor, out: Float32Array): void => {
  const d = table.shape[1] ?? 0;
  for (const [i, token] of tokens.entries()) {
    const row = isMatrix(table)
      ? readRow(table.matrix.exact, token, d)
      : table.data.subarray(token * d, (token + 1) * d);
    out.set(row, i * d);
  }
};

/** The gradient of `embedRows`, added in the order of the tokens; nothing for a frozen table. */
export const accumulateEmbedding = (
  tokens: Int32Array,
  dx: Float32Array,
  table: LayerTensor,
): void => {
  if (isMatrix(table) || !table.grad) return;
  const { grad, shape } = table;
  const d = shape[1] ?? 0;
  for (const [i, token] of tokens.entries()) {
    for (let j = 0; j < d; j++) {
      const at = token * d + j;
      grad[at] = (grad[at] ?? 0) + (dx[i * d + j] ?? 0);
    }
  }
};
