// The graphs after the last layer, for a chunk of R rows: final norm, product with the vocabulary,
// cross-entropy and its gradient. Only rows that are scored come here, a chunk at a time, so the
// logits [R, V] of a whole batch never exist; with a frozen table not even those of a chunk.
import type { ModelConfig } from '@corral/formats';
import { gradients } from '../autodiff/gradients.ts';
import { vocabularyProbabilities } from '../graph/composites.ts';
import type { Graph } from '../graph/graph.ts';
import {
  greaterEqual,
  input,
  linearCrossEntropy,
  matmul,
  mul,
  pick,
  reduceMax,
  rmsNorm,
  sub,
} from '../graph/ops.ts';
import type { Value } from '../graph/value.ts';
import { scanVocabulary } from '../nn/vocabulary-scan.ts';

export interface HeadGraphs {
  /** x [R, D], labels and inside (by tile) → `loss` [R, 1], `right` [R, 1] (1 where no token is more likely) */
  readonly evaluate: Graph;
  /** Also takes dloss [R, 1] and label_rows [R, D], the labels' rows of a frozen table, and gives dx. */
  readonly train: Graph;
  /** Of a trainable head, over the whole table: labels [R]; also gives d_norm and d_table. */
  readonly trainAll: Graph;
  /** x [R, D] → logits [R, V] */
  readonly logits: Graph;
}

/** Rows of the table that are multiplied at once: 4 MB of logits for 512 rows. */
const tileRows = 2048;

/** The tiles [start, end) of a vocabulary. */
export const vocabularyTiles = ({ vocab_size: size }: ModelConfig): (readonly [number, number])[] =>
  Array.from({ length: Math.ceil(size / tileRows) }, (_, i) => [
    i * tileRows,
    Math.min(size, (i + 1) * tileRows),
  ]);

export const tileName = (index: number): string => `table_${index}`;

export const buildHeadGraphs = (config: ModelConfig, rows: number): HeadGraphs => {
  const { hidden_size: d, vocab_size: vocabulary } = config;
  const x = input('x', [rows, d]);
  const norm = input('norm', [d]);
  const table = input('table', [vocabulary, d]);
  const dloss = input('dloss', [rows, 1]);
  const h = rmsNorm(x, norm, config.rms_norm_eps);

  const tiles = vocabularyTiles(config);
  const scan = scanVocabulary(h, {
    tiles: tiles.map(([start, end], i) => input(tileName(i), [end - start, d])),
    labels: input('labels', [tiles.length * rows], 'int64'),
    inside: input('inside', [rows, tiles.length]),
  });
  const measured = new Map<string, Value>([
    ['loss', sub(scan.logSumExp, scan.label)],
    ['right', greaterEqual(scan.label, scan.largest)],
  ]);
  // d loss / dh = (softmax(l) - onehot(label))·table
  const dh = mul(sub(scan.expected, input('label_rows', [rows, d])), dloss);
  const [dx = x] = gradients(h, dh, [x]);

  const labels = input('labels', [rows], 'int64');
  const loss = linearCrossEntropy(h, table, labels);
  const probabilities = vocabularyProbabilities(h, table);
  const [dxAll = x, dNorm = norm, dTable = table] = gradients(loss, dloss, [x, norm, table]);
  const trainAll = new Map([
    ['loss', loss],
    ['right', greaterEqual(pick(probabilities, labels), reduceMax(probabilities, [1]))],
    ['dx', dxAll],
    ['d_norm', dNorm],
    ['d_table', dTable],
  ]);
  return {
    evaluate: { outputs: measured },
    train: { outputs: new Map([...measured, ['dx', dx]]) },
    trainAll: { outputs: trainAll },
    logits: { outputs: new Map([['logits', matmul(h, table, { transposeB: true })]]) },
  };
};
