// The graphs after the last layer, for a chunk of R rows: final norm, product with the vocabulary,
// cross-entropy and its gradient. Only rows that are scored come here, a chunk at a time, so the
// logits [R, V] of a whole batch never exist.
import type { ModelConfig } from '@corral/formats';
import { gradients } from '../autodiff/gradients.ts';
import { vocabularyProbabilities } from '../graph/composites.ts';
import type { Graph } from '../graph/graph.ts';
import {
  greaterEqual,
  input,
  linearCrossEntropy,
  matmul,
  pick,
  reduceMax,
  rmsNorm,
} from '../graph/ops.ts';

export interface HeadGraphs {
  /** x [R, D], labels [R] → `loss` [R, 1], `right` [R, 1] (1 where no token is more likely) */
  readonly evaluate: Graph;
  /** Also takes dloss [R, 1] and gives dx; with trainable weights d_norm and d_table. */
  readonly train: Graph;
  /** x [R, D] → logits [R, V] */
  readonly logits: Graph;
}

export const buildHeadGraphs = (
  config: ModelConfig,
  { rows, trainable }: { readonly rows: number; readonly trainable: boolean },
): HeadGraphs => {
  const { hidden_size: d, vocab_size: vocabulary } = config;
  const x = input('x', [rows, d]);
  const norm = input('norm', [d]);
  const table = input('table', [vocabulary, d]);
  const labels = input('labels', [rows], 'int64');
  const h = rmsNorm(x, norm, config.rms_norm_eps);
  const loss = linearCrossEntropy(h, table, labels);
  const probabilities = vocabularyProbabilities(h, table);
  const right = greaterEqual(pick(probabilities, labels), reduceMax(probabilities, [1]));
  const evaluate = new Map([
    ['loss', loss],
    ['right', right],
  ]);
  const dloss = input('dloss', [rows, 1]);
  const [dx = x, dNorm = norm, dTable = table] = gradients(loss, dloss, [x, norm, table]);
  const train = new Map([...evaluate, ['dx', dx]]);
  if (trainable) train.set('d_norm', dNorm).set('d_table', dTable);
  return {
    evaluate: { outputs: evaluate },
    train: { outputs: train },
    logits: { outputs: new Map([['logits', matmul(h, table, { transposeB: true })]]) },
  };
};
