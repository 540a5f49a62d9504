// The product with a large vocabulary as attention over its rows: keys and values are both the table, and its
// tiles are merged as they come (Milakov & Gimelshein 2018, arXiv:1805.02867), so that loss and gradient take
// one pass over the table and the logits of more than one tile never exist. For a frozen table only: the
// gradient of the table would need the logits again.
import {
  add,
  fill,
  log,
  matmul,
  max,
  mul,
  pick,
  reduceMax,
  scale,
  sigmoid,
  slice,
  softmax,
  sub,
} from '../graph/ops.ts';
import type { Value } from '../graph/value.ts';

export interface VocabularyTiles {
  /** The rows of the table in order: T tensors [V_t, D]. */
  readonly tiles: readonly Value[];
  /** int64 [T·M]: for each tile and row, the label as a row of that tile; any row where it has none. */
  readonly labels: Value;
  /** [M, T]: 1 where the label is a row of the tile, else 0. */
  readonly inside: Value;
}

/** Of each row of h, with logits l = h·tableᵀ. */
export interface VocabularyScan {
  /** [M, 1]: log Σ exp(l) */
  readonly logSumExp: Value;
  /** [M, 1]: the largest logit */
  readonly largest: Value;
  /** [M, 1]: the label's logit, of the same product as the others */
  readonly label: Value;
  /** [M, D]: softmax(l)·table */
  readonly expected: Value;
}

const scanTile = (
  h: Value,
  { tiles, labels, inside }: VocabularyTiles,
  [tile, index]: readonly [Value, number],
): VocabularyScan => {
  const rows = h.shape[0] ?? 0;
  const logits = matmul(h, tile, { transposeB: true });
  const probabilities = softmax(logits);
  const largest = reduceMax(logits, [1]);
  const ids = tiles.length === 1 ? labels : slice(labels, 0, [index * rows, (index + 1) * rows]);
  const label = mul(pick(logits, ids), slice(inside, 1, [index, index + 1]));
  // The largest probability is 1 / Σ exp(l - largest).
  const logSumExp = sub(largest, log(reduceMax(probabilities, [1])));
  return {
    // Nothing is added: the next tile waits for this number, and so the label is picked before it. Picked
    // at the end, as the runtime would, it keeps the logits of all tiles in memory.
    logSumExp: add(logSumExp, scale(label, 0)),
    largest,
    label,
    expected: matmul(probabilities, tile),
  };
};

/** With `share` of the first's part in both sums together, log(Σ₁ + Σ₂) = log Σ₁ - log share. */
const merge = (a: VocabularyScan, b: VocabularyScan): VocabularyScan => {
  const share = sigmoid(sub(a.logSumExp, b.logSumExp));
  const larger = max(share, sub(fill(1), share));
  return {
    logSumExp: sub(max(a.logSumExp, b.logSumExp), log(larger)),
    largest: max(a.largest, b.largest),
    label: add(a.label, b.label),
    expected: add(b.expected, mul(share, sub(a.expected, b.expected))),
  };
};

/** h [M, D] against a table in tiles. */
export const scanVocabulary = (h: Value, vocabulary: VocabularyTiles): VocabularyScan => {
  const scans = vocabulary.tiles.map((tile, index) => scanTile(h, vocabulary, [tile, index]));
  return scans.reduce(merge);
};
