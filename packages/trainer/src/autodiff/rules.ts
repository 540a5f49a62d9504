// The derivative of every operation, in one table. An operation needs a rule when a gradient can flow
// through it; one that needs none says why, and the walk refuses to cross it. Rules write down all
// gradients they know; those that nobody asks for are never computed, because a graph is what can be
// reached from its results. Each rule is held to finite differences (rules.native.ts).
import { attentionProbabilities, vocabularyProbabilities } from '../graph/composites.ts';
import {
  add,
  broadcast,
  concat,
  fill,
  gatherRows,
  int8Matmul,
  inverseRms,
  matmul,
  mul,
  pad,
  reduceSum,
  reshape,
  rope,
  scale,
  scatterAddRows,
  sigmoid,
  slice,
  sub,
  transpose,
} from '../graph/ops.ts';
import type { Node, OpKind, Value } from '../graph/value.ts';
import { unbroadcast } from './unbroadcast.ts';

/** From dy, the gradient of the node, to one gradient for each input; null for an input without one. */
type Rule<K extends OpKind> = (node: Node<K>, dy: Value) => readonly (Value | null)[];

export interface NoGradient {
  readonly why: string;
}
const noGradient = (why: string): NoGradient => ({ why });

const lastAxis = (value: Value): readonly number[] => [value.shape.length - 1];
const rowSum = (value: Value): Value => reduceSum(value, lastAxis(value));

/** y = s·op(a)·op(b): both gradients are products again, and no operand is ever transposed in memory. */
const matmulRule: Rule<'matmul'> = ({ inputs: [a, b], attributes }, dy) => {
  const { transposeA: ta, transposeB: tb, scale: s } = attributes;
  return [
    ta
      ? matmul(b, dy, { transposeA: tb, transposeB: true, scale: s })
      : matmul(dy, b, { transposeB: !tb, scale: s }),
    tb
      ? matmul(dy, a, { transposeA: true, transposeB: ta, scale: s })
      : matmul(a, dy, { transposeA: !ta, scale: s }),
  ];
};

/**
 * The derivative of the product without rounding, itself rounded the same way ("straight-through",
 * Bengio et al. 2013, arXiv:1308.3432): rounding is flat almost everywhere and has no useful one.
 */
const int8MatmulRule: Rule<'int8_matmul'> = ({ inputs, attributes }, dy) => {
  const [, weight, scales, ...outliers] = inputs;
  return [
    int8Matmul(dy, weight, { scale: scales, transposeB: !attributes.transposeB }),
    null,
    null,
    ...outliers.map(() => null),
  ];
};

/**
 * y = x·r·w with r = 1/√(mean(x²) + ε), so dr/dx = -r³·x/d and
 * dx = r·(dy·w) - x·r²·mean(dy·y). dw sums dy·x·r over all rows.
 */
const rmsNormRule: Rule<'rms_norm'> = (y, dy) => {
  const [x, weight] = y.inputs;
  const r = inverseRms(x, y.attributes.epsilon);
  const pull = scale(mul(mul(r, r), rowSum(mul(dy, y))), 1 / (x.shape.at(-1) ?? 1));
  return [
    sub(mul(mul(dy, weight), r), mul(x, pull)),
    unbroadcast(mul(dy, mul(x, r)), weight.shape),
  ];
};

/**
 * With P the probabilities and o = P·v: dv = Pᵀ·do, dP = do·vᵀ, dS = P ∘ (dP - rowsum(dP ∘ P)).
 * rowsum(dP ∘ P) = rowsum(do ∘ o) (Dao et al. 2022, arXiv:2205.14135, appendix B.4), and that difference
 * is one product: [do, -rowsum(do ∘ o)]·[v, 1]ᵀ. So no pass over the S×S numbers is spent on it.
 */
const attentionRule: Rule<'attention_block'> = (o, dy) => {
  const [q, k, v] = o.inputs;
  const { scale: s } = o.attributes;
  const probabilities = attentionProbabilities(o);
  const correction = scale(rowSum(mul(dy, o)), -1);
  const ones = fill(1, [...v.shape.slice(0, -1), 1]);
  const centred = matmul(concat([dy, correction], 2), concat([v, ones], 2), { transposeB: true });
  const dScores = mul(probabilities, centred);
  return [
    matmul(dScores, k, { scale: s }),
    matmul(dScores, q, { transposeA: true, scale: s }),
    matmul(probabilities, dy, { transposeA: true }),
    null,
  ];
};

/**
 * d logits = (P - onehot(label))·dy, but neither that difference nor the one-hot matrix is formed:
 * dh = (P·table - table[label])·dy and dtable = (P·dy)ᵀ·h - Σ_label h·dy.
 */
const linearCrossEntropyRule: Rule<'linear_cross_entropy'> = (
  { inputs: [h, table, labels] },
  dy,
) => {
  const probabilities = vocabularyProbabilities(h, table);
  const weighted = mul(h, dy);
  return [
    mul(sub(matmul(probabilities, table), gatherRows(table, labels)), dy),
    sub(
      matmul(probabilities, weighted, { transposeA: true }),
      scatterAddRows(weighted, labels, table.shape[0] ?? 0),
    ),
    null,
  ];
};

/** Where each joined piece lies in the whole. */
const concatRule: Rule<'concat'> = ({ inputs, attributes: { axis } }, dy) => {
  let start = 0;
  return inputs.map((piece) => {
    const end = start + (piece.shape[axis] ?? 0);
    const gradient = slice(dy, axis, [start, end]);
    start = end;
    return gradient;
  });
};

export const rules: { readonly [K in OpKind]: Rule<K> | NoGradient } = {
  input: () => [],
  fill: () => [],

  add: ({ inputs: [a, b] }, dy) => [unbroadcast(dy, a.shape), unbroadcast(dy, b.shape)],
  sub: ({ inputs: [a, b] }, dy) => [unbroadcast(dy, a.shape), unbroadcast(scale(dy, -1), b.shape)],
  mul: ({ inputs: [a, b] }, dy) => [
    unbroadcast(mul(dy, b), a.shape),
    unbroadcast(mul(dy, a), b.shape),
  ],
  max: noGradient('it only guards log inside linear_cross_entropy, which has a rule of its own'),
  greater_equal: noGradient('a comparison is flat wherever it has a derivative'),
  scale: ({ attributes: { factor } }, dy) => [scale(dy, factor)],
  sigmoid: (y, dy) => [mul(dy, mul(y, sub(fill(1), y)))],
  log: noGradient('only linear_cross_entropy uses it, and has a rule of its own'),

  reshape: ({ inputs: [x] }, dy) => [reshape(dy, x.shape)],
  transpose: ({ attributes: { order } }, dy) => [
    transpose(
      dy,
      order.map((_, axis) => order.indexOf(axis)),
    ),
  ],
  slice: ({ inputs: [x], attributes: { axis, start, end } }, dy) => [
    pad(dy, axis, [start, (x.shape[axis] ?? 0) - end]),
  ],
  pad: ({ inputs: [x], attributes: { axis, before } }, dy) => [
    slice(dy, axis, [before, before + (x.shape[axis] ?? 0)]),
  ],
  concat: concatRule,
  broadcast: ({ inputs: [x] }, dy) => [unbroadcast(dy, x.shape)],

  reduce_sum: ({ inputs: [x] }, dy) => [broadcast(dy, x.shape)],
  reduce_max: noGradient('only counts of right answers use it'),

  gather_rows: ({ inputs: [table, ids] }, dy) => [
    scatterAddRows(dy, ids, table.shape[0] ?? 0),
    null,
  ],
  scatter_add_rows: ({ inputs: [, ids] }, dy) => [gatherRows(dy, ids), null],
  pick: noGradient('only linear_cross_entropy uses it, and has a rule of its own'),

  matmul: matmulRule,
  int8_matmul: int8MatmulRule,
  unpack_nibbles: noGradient('packed weights are frozen'),
  dequantise: noGradient('weights in blocks are frozen'),
  softmax: (y, dy) => [mul(y, sub(dy, rowSum(mul(dy, y))))],
  rms_norm: rmsNormRule,
  inverse_rms: noGradient('only the rule of rms_norm uses it; second derivatives are not taken'),
  // A rotation's transpose is the rotation back.
  rope: ({ inputs: [, positions, cos, sin], attributes: { inverse } }, dy) => [
    rope(dy, { positions, cos, sin }, !inverse),
    null,
    null,
    null,
  ],

  // d(x·σ) = σ + x·σ·(1 - σ), written with y = x·σ, which the forward pass has anyway.
  silu: (y, dy) => {
    const gate = sigmoid(y.inputs[0]);
    return [mul(dy, add(gate, mul(y, sub(fill(1), gate))))];
  },
  attention_block: attentionRule,
  linear_cross_entropy: linearCrossEntropyRule,
};
