// The scan by tiles against the same numbers in float64, one row after the other, and its gradient against
// the rule of linear_cross_entropy over the whole table.
import { afterAll, expect, test } from 'vitest';
import { gradients } from '../autodiff/gradients.ts';
import type { Value } from '../graph/value.ts';
import { fill, input, linearCrossEntropy } from '../graph/ops.ts';
import { lower } from '../onnx/lower.ts';
import { createRuntime, hostTensor } from '../runtime/runtime.ts';
import { scanVocabulary } from './vocabulary-scan.ts';

const runtime = createRuntime({ device: 'cpu', threads: 1 });
afterAll(() => runtime.close());

const [rows, width, vocabulary] = [5, 8, 50];
const wave = (length: number, factor: number): Float32Array =>
  Float32Array.from({ length }, (_, i) => factor * Math.sin(1 + 3.7 * i));
/** Labels in the first, a middle and the last tile, and the first and last row of one. */
const labels = [3, 49, 20, 16, 31];
const table = wave(vocabulary * width, 1);
/** The logits of the last row are far apart, so that whole tiles vanish beside others. */
const h = wave(rows * width, 1).map((value, i) => (i < 4 * width ? value : 40 * value));

const run = async (
  outputs: ReadonlyMap<string, Value>,
  feeds: Parameters<Awaited<ReturnType<typeof runtime.createSession>>['run']>[0],
) => {
  const session = await runtime.createSession(lower({ outputs }));
  const results = Object.fromEntries(
    session.outputs.map(({ name, shape }) => [
      name,
      hostTensor(new Float32Array(shape.reduce((n, extent) => n * extent, 1)), shape),
    ]),
  );
  await session.run(feeds, results);
  return (name: string): number[] => [...((results[name]?.data ?? []) as Float32Array)];
};

const scanInTiles = (tileRows: number) => {
  const count = Math.ceil(vocabulary / tileRows);
  const tileOf = (label: number): number => Math.floor(label / tileRows);
  const parts = Array.from({ length: count }, (_, i) =>
    table.subarray(i * tileRows * width, (i + 1) * tileRows * width),
  );
  const tiles = parts.map((part, i) => input(`tile_${i}`, [part.length / width, width]));
  const scan = scanVocabulary(input('h', [rows, width]), {
    tiles,
    labels: input('labels', [count * rows], 'int64'),
    inside: input('inside', [rows, count]),
  });
  const ids = new BigInt64Array(count * rows);
  const inside = new Float32Array(rows * count);
  for (const [row, label] of labels.entries()) {
    ids[tileOf(label) * rows + row] = BigInt(label % tileRows);
    inside[row * count + tileOf(label)] = 1;
  }
  return run(new Map(Object.entries(scan)), {
    h: hostTensor(h, [rows, width]),
    labels: hostTensor(ids, [ids.length]),
    inside: hostTensor(inside, [rows, count]),
    ...Object.fromEntries(
      parts.map((part, i) => [`tile_${i}`, hostTensor(part, [part.length / width, width])]),
    ),
  });
};

const logitsOf = (row: number): number[] =>
  Array.from({ length: vocabulary }, (_, v) => {
    let sum = 0;
    for (let i = 0; i < width; i++) sum += (h[row * width + i] ?? 0) * (table[v * width + i] ?? 0);
    return sum;
  });

test.each([50, 16, 7, 1])('tiles of %i rows give the whole table’s numbers', async (tileRows) => {
  const found = await scanInTiles(tileRows);
  for (let row = 0; row < rows; row++) {
    const logits = logitsOf(row);
    const largest = Math.max(...logits);
    const sum = logits.reduce((all, logit) => all + Math.exp(logit - largest), 0);
    const within = 4e-6 * Math.max(1, Math.abs(largest));
    const near = (name: string, value: number): void => {
      expect(Math.abs((found(name)[row] ?? Number.NaN) - value)).toBeLessThan(within);
    };
    near('largest', largest);
    near('logSumExp', largest + Math.log(sum));
    near('label', logits[labels[row] ?? 0] ?? 0);
    for (let i = 0; i < width; i++) {
      const expected = logits.reduce(
        (all, logit, v) => all + (Math.exp(logit - largest) / sum) * (table[v * width + i] ?? 0),
        0,
      );
      expect(found('expected')[row * width + i]).toBeCloseTo(expected, 5);
    }
  }
});

test('the expected row less the label’s is the gradient of the loss', async () => {
  const ids = input('labels', [rows], 'int64');
  const whole = [input('h', [rows, width]), input('table', [vocabulary, width])] as const;
  const loss = linearCrossEntropy(...whole, ids);
  const [dh = loss] = gradients(loss, fill(1, [rows, 1]), [whole[0]]);
  const expected = await run(new Map([['dh', dh]]), {
    h: hostTensor(h, [rows, width]),
    table: hostTensor(table, [vocabulary, width]),
    labels: hostTensor(BigInt64Array.from(labels, BigInt), [rows]),
  });
  const found = await scanInTiles(16);
  for (const [i, value] of found('expected').entries()) {
    const label = labels[Math.floor(i / width)] ?? 0;
    expect(value - (table[label * width + (i % width)] ?? 0)).toBeCloseTo(
      expected('dh')[i] ?? Number.NaN,
      5,
    );
  }
});
