// What the composite operations mean, in terms of the others. This is their only definition: lowering
// expands them, derivative rules reuse the parts, and tests hold the rules to it.
import { add, log, matmul, max, mul, pick, reshape, scale, sigmoid, softmax, fill } from './ops.ts';
import type { Node, OpKind, Value } from './value.ts';

/** [B·K, R·Q, S]: softmax(scale · q·kᵀ + mask) of one block of queries. */
export const attentionProbabilities = ({
  inputs: [q, k, , mask],
  attributes,
}: Node<'attention_block'>): Value => {
  const [batch = 1, , queries = 1, keys = 1] = mask.shape;
  const scores = matmul(q, k, { transposeB: true, scale: attributes.scale });
  const [groups = 1, rows = 1] = scores.shape;
  const heads = (groups * rows) / (batch * queries);
  const byHead = reshape(scores, [batch, heads, queries, keys]);
  return reshape(softmax(add(byHead, mask)), scores.shape);
};

/** [M, V]: softmax(h·tableᵀ), the next-token distribution of each row. */
export const vocabularyProbabilities = (h: Value, table: Value): Value =>
  softmax(matmul(h, table, { transposeB: true }));

/** Smallest normal float32: keeps the loss finite (at most 87.3) where a probability underflows. */
const smallestProbability = 2 ** -126;

/** [M, 1]: -log of the label's probability. */
const negativeLogLikelihood = (probabilities: Value, labels: Value): Value =>
  scale(log(max(pick(probabilities, labels), fill(smallestProbability))), -1);

export const composites = {
  silu: ({ inputs: [x] }: Node<'silu'>): Value => mul(x, sigmoid(x)),
  attention_block: (node: Node<'attention_block'>): Value =>
    matmul(attentionProbabilities(node), node.inputs[2]),
  linear_cross_entropy: ({ inputs: [h, table, labels] }: Node<'linear_cross_entropy'>): Value =>
    negativeLogLikelihood(vocabularyProbabilities(h, table), labels),
} satisfies { readonly [K in OpKind]?: (node: Node<K>) => Value };
