// Packed against padded batches on short examples (mean 60 tokens, most shorter, some ten times as long):
// examples a second, same steps, same losses. No peer needed.
//   node benchmarks/trainer/packing.ts [--model MODEL] [--steps 4] [--batch 32] [--threads 1] [--json]
// The larger a batch, the longer its longest example, to which the others are padded.
// MODEL is a GGUF file or a folder; a folder with only a config.json has weights drawn. Without MODEL: the shape
// of SmolLM2-135M. Both ways take turns, so that a machine that changes its speed changes both.
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { modelConfigToJson } from '@corral/formats';
import type { EncodedExample } from '../../packages/trainer/src/data/encode.ts';
import { draw } from '../../packages/trainer/src/data/order.ts';
import { buildBatch, inputLength, packRows } from '../../packages/trainer/src/data/packing.ts';
import { openCausalLm } from '../../packages/trainer/src/models/open-causal-lm.ts';
import { modelSizes } from '../../packages/trainer/src/models/sizes.ts';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    steps: { type: 'string', default: '4' },
    batch: { type: 'string', default: '32' },
    threads: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
  },
});
const batchSize = Number(values.batch);
const contextLength = 2048;

const uniform = (...place: readonly number[]): number => (draw(1, ...place) + 0.5) / 2 ** 32;

/** Log-normal with mean 60: what questions and answers look like. */
function lengthOf(index: number): number {
  const normal =
    Math.sqrt(-2 * Math.log(uniform(index, 0))) * Math.cos(2 * Math.PI * uniform(index, 1));
  const spread = 0.8;
  const length = Math.exp(Math.log(60) - spread ** 2 / 2 + spread * normal);
  return Math.min(1024, Math.max(8, Math.round(length)));
}

const exampleOf = (index: number, vocabulary: number): EncodedExample => {
  const length = lengthOf(index);
  return {
    tokens: Int32Array.from({ length }, (_, at) => draw(2, index, at) % vocabulary),
    weights: Float32Array.from({ length }, (_, at) => Number(at >= length / 2)),
  };
};

await using place = await mkdtempDisposable(join(tmpdir(), 'corral-packing-'));
const shape = modelSizes['smollm2-135m'];
await writeFile(
  join(place.path, 'config.json'),
  JSON.stringify(modelConfigToJson(shape, 'float32')),
);
await using model = await openCausalLm({
  path: values.model ?? place.path,
  method: 'lora',
  lora: { rank: 16, alpha: 32, dropout: 0, target_modules: 'all-linear' },
  seed: 0,
  threads: Number(values.threads),
  device: 'cpu',
});
const vocabulary = model.config.vocab_size;

const ways = { packed: true, padded: false } as const;
const totals = Object.fromEntries(
  Object.keys(ways).map((way) => [
    way,
    { seconds: 0, cpuSeconds: 0, positions: 0, loss: 0, weight: 0 },
  ]),
);
const steps = Array.from({ length: Number(values.steps) }, (_, step) =>
  Array.from({ length: batchSize }, (_, at) => exampleOf(step * batchSize + at, vocabulary)),
);
// Once untimed: each shape of a batch makes its graphs when it first comes.
for (const timed of [false, true]) {
  for (const [step, examples] of steps.entries()) {
    for (const [way, packing] of Object.entries(ways)) {
      const layout = packRows(examples.map(inputLength), { contextLength, packing });
      const began = performance.now();
      const cpu = process.cpuUsage();
      const batch = buildBatch(examples, layout);
      const result = await model.forwardBackward(batch, { lossScale: 1, step });
      const total = totals[way];
      if (!total || !timed) continue;
      total.seconds += (performance.now() - began) / 1000;
      const { user, system } = process.cpuUsage(cpu);
      total.cpuSeconds += (user + system) / 1e6;
      total.positions += layout.rows.length * layout.seqLen;
      total.loss += result.lossSum;
      total.weight += result.weightSum;
    }
  }
}
const tokens = steps.flat().reduce((sum, example) => sum + example.tokens.length, 0);
const count = Number(values.steps) * batchSize;
const report = Object.entries(totals).map(
  ([way, { seconds, cpuSeconds, positions, loss, weight }]) => ({
    way,
    examples_per_second: Number((count / seconds).toFixed(2)),
    examples_per_cpu_second: Number((count / cpuSeconds).toFixed(2)),
    positions_per_example: Math.round(positions / count),
    loss: loss / weight,
  }),
);
const [packed, padded] = report;
const ratioOf = (key: 'examples_per_second' | 'examples_per_cpu_second'): number =>
  Number(((packed?.[key] ?? 0) / (padded?.[key] ?? 1)).toFixed(2));
const found = {
  mean_tokens: Number((tokens / count).toFixed(1)),
  ways: report,
  ratio: ratioOf('examples_per_second'),
  /** What counts when other programs share the cores. */
  ratio_by_cpu: ratioOf('examples_per_cpu_second'),
};
if (values.json) console.log(JSON.stringify(found));
else {
  console.table(report);
  console.log(
    `mean ${found.mean_tokens} tokens; packed is ${found.ratio} times padded (${found.ratio_by_cpu} by CPU time)`,
  );
}
