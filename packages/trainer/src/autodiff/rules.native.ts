// Every rule of the table against finite differences of the operation itself, run by the runtime. The
// samples are a total table too: an operation without a sample does not compile.
import { afterAll, describe, expect, it } from 'vitest';
import {
  add,
  attentionBlock,
  broadcast,
  concat,
  fill,
  dequantise,
  gatherRows,
  greaterEqual,
  input,
  int8Matmul,
  inverseRms,
  linearCrossEntropy,
  log,
  matmul,
  max,
  mul,
  pad,
  pick,
  reduceMax,
  reduceSum,
  reshape,
  rmsNorm,
  rope,
  scale,
  scatterAddRows,
  sigmoid,
  silu,
  slice,
  softmax,
  sub,
  transpose,
  unpackNibbles,
} from '../graph/ops.ts';
import type { Node, OpKind, Value } from '../graph/value.ts';
import { elementCount } from '../graph/value.ts';
import { lower } from '../onnx/lower.ts';
import type { HostArray } from '../runtime/runtime.ts';
import { createRuntime, hostTensor } from '../runtime/runtime.ts';
import { gradients } from './gradients.ts';
import { rules } from './rules.ts';

/** A use of the operation; float inputs are differentiated unless `fixed`. */
interface Sample {
  readonly y: Value;
  /** What the rule is the derivative of, where that is not y itself: the product that y rounds. */
  readonly smooth?: Value;
  /** Values of inputs that are not to be differentiated. */
  readonly fixed?: ReadonlyMap<string, readonly number[]>;
}

const ids = (name: string, length: number): Node<'input'> => input(name, [length], 'int64');
const x = (): Node<'input'> => input('x', [3, 4]);
const ids3: Sample['fixed'] = new Map([['ids', [2, 0, 2]]]);
const angles = Array.from({ length: 12 }, (_, i) => 0.3 * i);
const rotation = {
  positions: input('positions', [2, 3], 'int64'),
  cos: input('cos', [4, 3]),
  sin: input('sin', [4, 3]),
};
const rotationTables: Sample['fixed'] = new Map([
  ['positions', [0, 1, 2, 1, 3, 0]],
  ['cos', angles.map(Math.cos)],
  ['sin', angles.map(Math.sin)],
]);
const levels = [127, -30, 5, 90, -127, 44, 8, -77, 127, 61, -3, 20];
const scales = [0.01, 0.02, 0.005];
const weights = levels.map((level, i) => level * (scales[Math.floor(i / 4)] ?? 0));
/** Columns 1 and 3 in float32, where they need not be what the levels say, but here are. */
const outlierColumns = [
  input('keep', [4]),
  input('columns', [2], 'int64'),
  input('outliers', [3, 2]),
] as const;
const frozenWeights: Sample['fixed'] = new Map([
  ['levels', levels],
  ['scale', scales],
  ['w', weights],
  ['keep', [1, 0, 1, 0]],
  ['columns', [1, 3]],
  ['outliers', weights.filter((_, i) => i % 2 === 1)],
]);
const mask = [0, -1e9, -1e9, 0, 0, -1e9, 0, -1e9, -1e9, -1e9, 0, -1e9];

const samples: { readonly [K in OpKind]: readonly Sample[] } = {
  input: [{ y: x() }],
  fill: [{ y: add(x(), fill(2, [3, 4])) }],
  add: [{ y: add(x(), input('b', [4])) }, { y: add(input('a', [3, 1]), input('b', [2, 1, 4])) }],
  sub: [{ y: sub(x(), input('b', [3, 1])) }],
  mul: [{ y: mul(x(), input('b', [1, 4])) }, { y: mul(x(), input('b', [])) }],
  max: [{ y: max(x(), fill(0)) }],
  greater_equal: [{ y: greaterEqual(x(), fill(0)) }],
  scale: [{ y: scale(x(), -0.5) }],
  sigmoid: [{ y: sigmoid(x()) }],
  log: [{ y: log(x()) }],
  reshape: [{ y: reshape(x(), [2, 6]) }],
  transpose: [{ y: transpose(input('x', [2, 3, 4]), [2, 0, 1]) }],
  slice: [{ y: slice(x(), 1, [1, 3]) }],
  pad: [{ y: pad(x(), 0, [1, 2]) }],
  concat: [{ y: concat([x(), input('b', [3, 2]), input('c', [3, 1])], 1) }],
  broadcast: [{ y: broadcast(input('x', [3, 1]), [2, 3, 4]) }],
  reduce_sum: [{ y: reduceSum(input('x', [2, 3, 4]), [0, 2]) }],
  reduce_max: [{ y: reduceMax(x(), [1]) }],
  gather_rows: [{ y: gatherRows(x(), ids('ids', 3)), fixed: ids3 }],
  scatter_add_rows: [{ y: scatterAddRows(x(), ids('ids', 3), 5), fixed: ids3 }],
  pick: [{ y: pick(x(), ids('ids', 3)), fixed: ids3 }],
  matmul: [false, true].flatMap((transposeA) =>
    [false, true].map((transposeB) => ({
      y: matmul(
        input('a', transposeA ? [2, 4, 3] : [2, 3, 4]),
        input('b', transposeB ? [2, 5, 4] : [2, 4, 5]),
        { transposeA, transposeB, scale: 0.7 },
      ),
    })),
  ),
  int8_matmul: [
    ...[undefined, outlierColumns].map((outliers) => ({
      y: int8Matmul(x(), input('levels', [3, 4], 'int8'), {
        scale: input('scale', [3]),
        transposeB: true,
        outliers,
      }),
      smooth: matmul(x(), input('w', [3, 4]), { transposeB: true }),
      fixed: frozenWeights,
    })),
    {
      y: int8Matmul(input('x', [2, 3]), input('levels', [3, 4], 'int8'), {
        scale: input('scale', [3]),
        transposeB: false,
      }),
      smooth: matmul(input('x', [2, 3]), input('w', [3, 4])),
      fixed: frozenWeights,
    },
  ],
  unpack_nibbles: [{ y: unpackNibbles(input('x', [3, 4], 'uint8')) }],
  dequantise: [{ y: dequantise(input('q', [3, 4], 'int8'), input('x', [3, 2])) }],
  softmax: [{ y: softmax(x()) }],
  rms_norm: [{ y: rmsNorm(input('x', [2, 3, 4]), input('weight', [4]), 1e-5) }],
  inverse_rms: [{ y: inverseRms(x(), 1e-5) }],
  rope: [false, true].map((inverse) => ({
    y: rope(input('x', [2, 2, 3, 6]), rotation, inverse),
    fixed: rotationTables,
  })),
  silu: [{ y: silu(x()) }],
  attention_block: [
    {
      // B = 2, K = 1, R = 2, Q = 2, S = 3, D = 4
      y: attentionBlock(input('q', [2, 4, 4]), input('k', [2, 3, 4]), input('v', [2, 3, 4]), {
        mask: input('mask', [2, 1, 2, 3]),
        scale: 0.5,
      }),
      fixed: new Map([['mask', mask]]),
    },
  ],
  linear_cross_entropy: [
    { y: linearCrossEntropy(x(), input('table', [5, 4]), ids('ids', 3)), fixed: ids3 },
  ],
};

/** Repeatable numbers in (-1, 1), different for each name. */
const noise = (name: string, length: number): Float32Array => {
  let state = Array.from(name).reduce((hash, c) => Math.imul(hash, 31) + c.charCodeAt(0), 7);
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state / 2 ** 31;
  });
};

const runtime = createRuntime({ device: process.env['CORRAL_TEST_DEVICE'] ?? 'cpu', threads: 1 });
afterAll(() => runtime.close());

type Feeds = ReadonlyMap<string, HostArray>;

const compile = async (outputs: ReadonlyMap<string, Value>) => {
  const session = await runtime.createSession(lower({ outputs }));
  return async (feeds: Feeds): Promise<Map<string, Float32Array>> => {
    const fed = Object.fromEntries(
      session.inputs.map(({ name, shape }) => [
        name,
        hostTensor(feeds.get(name) ?? new Float32Array(elementCount(shape)), shape),
      ]),
    );
    const arrays = new Map(
      session.outputs.map(({ name, shape }) => [name, new Float32Array(elementCount(shape))]),
    );
    const results = session.outputs.map(({ name, shape }) => [
      name,
      hostTensor(arrays.get(name) ?? new Float32Array(), shape),
    ]);
    await session.run(fed, Object.fromEntries(results));
    return arrays;
  };
};

const inputsOf = (value: Value, found = new Map<string, Node<'input'>>()) => {
  if (value.kind === 'input') found.set(value.attributes.name, value);
  for (const source of value.inputs) inputsOf(source, found);
  return found;
};

const dot = (a: Float32Array, b: Float32Array): number =>
  a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0);

/** |central difference - analytic| of Σ dy·y along a direction, relative to the gradient's size. */
const derivativeErrors = async ({ y, smooth = y, fixed = new Map() }: Sample) => {
  const inputs = [...inputsOf(y, inputsOf(smooth))].map(([name, node]) => ({ name, node }));
  const wrt = inputs.filter(({ name }) => !fixed.has(name));
  const dy = input('dy', y.shape);
  const forward = await compile(new Map([['y', smooth]]));
  const grads = gradients(
    y,
    dy,
    wrt.map(({ node }) => node),
  );
  const backward = await compile(new Map(wrt.map(({ name }, i) => [`d_${name}`, grads[i] ?? dy])));

  const feeds = new Map<string, HostArray>(
    inputs.map(({ name, node }) => {
      const values = fixed.get(name);
      if (node.dtype === 'int64') return [name, BigInt64Array.from(values ?? [], BigInt)];
      if (node.dtype === 'int8') return [name, Int8Array.from(values ?? [])];
      return [name, values ? Float32Array.from(values) : noise(name, elementCount(node.shape))];
    }),
  );
  const seed = noise('dy', elementCount(y.shape));
  const analytic = await backward(new Map([...feeds, ['dy', seed]]));
  const loss = async (name: string, values: Float32Array): Promise<number> =>
    dot((await forward(new Map([...feeds, [name, values]]))).get('y') ?? seed, seed);

  const step = 2e-2;
  return Promise.all(
    wrt.map(async ({ name, node }) => {
      const at = feeds.get(name) as Float32Array;
      const direction = noise(`${name} direction`, elementCount(node.shape));
      const moved = (sign: number) =>
        at.map((value, i) => value + sign * step * (direction[i] ?? 0));
      const difference = (await loss(name, moved(1))) - (await loss(name, moved(-1)));
      const gradient = analytic.get(`d_${name}`) ?? seed;
      const size = Math.hypot(...gradient.map((g, i) => g * (direction[i] ?? 0)));
      return Math.abs(difference / (2 * step) - dot(gradient, direction)) / size;
    }),
  );
};

const kinds = Object.keys(samples) as OpKind[];
const hasRule = (kind: OpKind): boolean => typeof rules[kind] === 'function';

describe('rules', () => {
  it.each(kinds.filter(hasRule))('%s: agrees with finite differences', async (kind) => {
    expect(samples[kind].length).toBeGreaterThan(0);
    for (const sample of samples[kind]) {
      // A rounded product has seven bits and a sign.
      const limit = sample.smooth ? 2e-2 : 2e-3;
      for (const error of await derivativeErrors(sample)) expect(error).toBeLessThan(limit);
    }
  });

  it.each(kinds.filter((kind) => !hasRule(kind)))('%s: refuses, and says why', async (kind) => {
    const [sample] = samples[kind];
    await expect(sample && derivativeErrors(sample)).rejects.toThrow(`no gradient of ${kind}`);
  });
});
