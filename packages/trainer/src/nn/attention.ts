// Grouped-query attention over packed rows, computed by blocks of queries. A block looks only at the
// window of keys that its queries can see, so the upper triangle (and, for short examples, most of the
// square) is never computed. What inside a window is visible is the mask's business.
import { attentionBlock, concat, reshape, rmsNorm, rope, slice, transpose } from '../graph/ops.ts';
import type { Rotation } from '../graph/ops.ts';
import type { Value } from '../graph/value.ts';

type Range = readonly [start: number, end: number];

/** A block of queries and the keys that any of them may see. */
export interface AttentionWindow {
  readonly queries: Range;
  readonly keys: Range;
}

interface AttentionShape {
  /** B rows of T steps; M = B·T. */
  readonly rows: number;
  readonly steps: number;
  readonly heads: number;
  /** Each key/value head serves heads / keyValueHeads query heads. */
  readonly keyValueHeads: number;
  readonly headDim: number;
}

export interface AttentionOptions {
  readonly shape: AttentionShape;
  readonly windows: readonly AttentionWindow[];
  /** For each window [B, 1, queries, keys], added to the scores. */
  readonly masks: readonly Value[];
  readonly rotation: Rotation;
  /** RMSNorm on each head of q and k before the rotation (Qwen3). */
  readonly headNorm?:
    | { readonly q: Value; readonly k: Value; readonly epsilon: number }
    | undefined;
}

/** q, k, v side by side [M, (H + 2K)·D] → [M, H·D] */
export const attention = (qkv: Value, options: AttentionOptions): Value => {
  const { shape, windows, masks, rotation, headNorm } = options;
  const { rows, steps, heads, keyValueHeads, headDim } = shape;
  const shared = heads / keyValueHeads;
  const groups = rows * keyValueHeads;
  // [B, H + 2K, T, D]
  const byHead = transpose(
    reshape(qkv, [rows, steps, heads + 2 * keyValueHeads, headDim]),
    [0, 2, 1, 3],
  );
  const headRange = (start: number, count: number): Value =>
    slice(byHead, 1, [start, start + count]);
  const qk = headNorm
    ? concat(
        [
          rmsNorm(headRange(0, heads), headNorm.q, headNorm.epsilon),
          rmsNorm(headRange(heads, keyValueHeads), headNorm.k, headNorm.epsilon),
        ],
        1,
      )
    : headRange(0, heads + keyValueHeads);
  const turned = rope(qk, rotation);
  const q = reshape(slice(turned, 1, [0, heads]), [groups, shared, steps, headDim]);
  const k = reshape(slice(turned, 1, [heads, heads + keyValueHeads]), [groups, steps, headDim]);
  const v = reshape(headRange(heads + keyValueHeads, keyValueHeads), [groups, steps, headDim]);

  const blocks = windows.map(({ queries, keys }, i) => {
    const mask = masks[i];
    if (!mask) throw new TypeError('a mask for each window');
    const count = queries[1] - queries[0];
    const block = attentionBlock(
      reshape(slice(q, 2, queries), [groups, shared * count, headDim]),
      slice(k, 1, keys),
      slice(v, 1, keys),
      { mask, scale: 1 / Math.sqrt(headDim) },
    );
    return reshape(block, [rows, heads, count, headDim]);
  });
  const joined = transpose(concat(blocks, 2), [0, 2, 1, 3]);
  return reshape(joined, [rows * steps, heads * headDim]);
};
