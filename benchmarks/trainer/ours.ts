// One measurement of the trainer: LoRA r = 16 on all linear layers, a full optimiser step at a time, from
// tokens to updated parameters. Prints one JSON line. compare.ts runs it beside peft_lora.py.
//   node benchmarks/trainer/ours.ts --model shape:135m|FILE.gguf [--method lora|qlora] [--precision float32|int8]
//     [--threads 1] [--seconds 15] [--rows 1] [--steps 512] [--workload long|short] [--recompute]
// A shape's base is made once in the temporary folder (shape:7b as qlora: 3.9 GB).
import { parseArgs } from 'node:util';
import { createAdamW } from '../../packages/trainer/src/optim/adamw.ts';
import { clipGradients } from '../../packages/trainer/src/optim/clip-gradients.ts';
import { openCausalLm } from '../../packages/trainer/src/models/open-causal-lm.ts';
import type { CausalLm } from '../../packages/trainer/src/models/causal-lm.ts';
import { createRuntime } from '../../packages/trainer/src/runtime/runtime.ts';
import { dequantiseSeconds } from './dequantise.ts';
import { baseFile, bestProductRate, makeBatch } from './workload.ts';

const { values: options } = parseArgs({
  options: {
    model: { type: 'string', default: 'shape:135m' },
    method: { type: 'string', default: 'lora' },
    precision: { type: 'string', default: 'float32' },
    threads: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '15' },
    rows: { type: 'string', default: '1' },
    steps: { type: 'string', default: '512' },
    workload: { type: 'string', default: 'long' },
    recompute: { type: 'boolean', default: false },
  },
});
const threads = Number(options.threads);
const steps = Number(options.steps);
const rows = Number(options.rows);
const packedBase = options.method === 'qlora';

/** Products with the base's matrices, there and back; attention and adapters are left out. */
const stepOperations = ({ config, baseParameterCount }: CausalLm, tokens: number): number => {
  const embedding = config.vocab_size * config.hidden_size;
  // A tied embedding is the head; an untied one is only looked up.
  const multiplied = baseParameterCount - (config.tie_word_embeddings ? 0 : embedding);
  return 4 * multiplied * tokens;
};

const opening = performance.now();
await using model = await openCausalLm({
  path: baseFile(options.model, packedBase ? 'Q4_0' : 'F16'),
  method: 'lora',
  precision: options.precision === 'int8' ? 'int8' : 'float32',
  packedBase,
  lora: { rank: 16, alpha: 32, dropout: 0, target_modules: 'all-linear' },
  seed: 0,
  threads,
  device: 'cpu',
  recompute: options.recompute,
});
const openSeconds = (performance.now() - opening) / 1000;
const adam = createAdamW(model.parameters);
const batch = makeBatch({
  rows,
  steps,
  workload: options.workload === 'short' ? 'short' : 'long',
  vocabulary: model.config.vocab_size,
});

const times: number[] = [];
const cpuTimes: number[] = [];
let tokens = 0;
const end = performance.now() + 1000 * Number(options.seconds);
for (let step = 0; step < 3 || performance.now() < end; step++) {
  const start = performance.now();
  const cpuStart = process.cpuUsage();
  const result = await model.forwardBackward(batch, { lossScale: 1 / (rows * steps), step });
  clipGradients(model.parameters, 1);
  adam.step(1e-4);
  // The first step makes the graphs.
  if (step > 0) {
    const { user, system } = process.cpuUsage(cpuStart);
    times.push(performance.now() - start);
    cpuTimes.push((user + system) / 1000);
  }
  tokens = result.tokens;
}
const peakMemoryBytes = 1024 * process.resourceUsage().maxRSS;
await using runtime = createRuntime({ device: 'cpu', threads });
const productRate = await bestProductRate(runtime);
const seconds = Math.min(...times) / 1000;
const rate = stepOperations(model, tokens) / seconds;
console.log(
  JSON.stringify({
    tokensPerSecond: tokens / seconds,
    tokensPerCpuSecond: (1000 * tokens) / Math.min(...cpuTimes),
    steps: times.length,
    openSeconds,
    peakMemoryBytes,
    gflops: rate / 1e9,
    productGflops: productRate / 1e9,
    shareOfProduct: rate / productRate,
    // Of processor time; once for each group of rows, which has 512 positions.
    ...(packedBase && {
      shareOfDequantising:
        ((await dequantiseSeconds(runtime, model.config)) * Math.ceil((rows * steps) / 512)) /
        (Math.min(...cpuTimes) / 1000),
    }),
  }),
);
