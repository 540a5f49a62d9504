// One measurement of the trainer: LoRA r = 16 on all linear layers of SmolLM2-135M's shape, a full
// optimiser step at a time. Prints one JSON line. compare.ts runs it; the workload is that of peft_lora.py.
import { createAdamW } from '../../packages/trainer/src/optim/adamw.ts';
import { clipGradients } from '../../packages/trainer/src/optim/clip-gradients.ts';
import { createRuntime } from '../../packages/trainer/src/runtime/runtime.ts';
import type { LoraOptions, PackedBatch } from '../../packages/trainer/src/models/causal-lm.ts';
import {
  initialiseAdapters,
  initialiseBase,
} from '../../packages/trainer/src/models/load-tensors.ts';
import { allocateTensors } from '../../packages/trainer/src/models/model-tensors.ts';
import { modelSizes } from '../../packages/trainer/src/models/sizes.ts';
import { createTransformerLm } from '../../packages/trainer/src/models/transformer-lm.ts';

const threads = Number(process.argv[2] ?? 1);
const seconds = Number(process.argv[3] ?? 15);
const workload = process.argv[4] ?? 'long';
const config = modelSizes['smollm2-135m'];
const lora: LoraOptions = { rank: 16, alpha: 32, dropout: 0, target_modules: 'all-linear' };
const seqLen = 512;

/** `long`: one example, all scored, as peft_lora.py. `short`: 40–100 tokens each, the second half scored. */
const makeBatch = (): PackedBatch => {
  const lengths = workload === 'long' ? [512] : [72, 40, 100, 64, 88, 51, 97];
  const batch = {
    rows: 1,
    seqLen,
    tokens: Int32Array.from({ length: seqLen }, (_, i) => (i * 7919) % 30_000),
    targets: Int32Array.from({ length: seqLen }, (_, i) => ((i + 1) * 7919) % 30_000),
    weights: new Float32Array(seqLen),
    positions: new Int32Array(seqLen),
    segments: new Int32Array(seqLen).fill(-1),
  };
  let start = 0;
  for (const [segment, length] of lengths.entries()) {
    for (let i = 0; i < length; i++) {
      batch.segments[start + i] = segment;
      batch.positions[start + i] = i;
      batch.weights[start + i] = Number(workload === 'long' || i >= length / 2);
    }
    start += length;
  }
  return batch;
};

const tensors = allocateTensors(config, lora);
initialiseBase(tensors, 0);
initialiseAdapters(tensors, 0);
await using runtime = createRuntime({ device: 'cpu', threads });
await using model = createTransformerLm({
  config,
  tensors,
  lora,
  seed: 0,
  recompute: false,
  runtime,
});
const adam = createAdamW(model.parameters);
const batch = makeBatch();

const times: number[] = [];
const cpuTimes: number[] = [];
let tokens = 0;
const end = performance.now() + 1000 * seconds;
for (let step = 0; step < 4 || performance.now() < end; step++) {
  const start = performance.now();
  const cpuStart = process.cpuUsage();
  const result = await model.forwardBackward(batch, { lossScale: 1 / seqLen, step });
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
console.log(
  JSON.stringify({
    tokensPerSecond: (1000 * tokens) / Math.min(...times),
    tokensPerCpuSecond: (1000 * tokens) / Math.min(...cpuTimes),
    steps: times.length,
    peakMemoryBytes: 1024 * process.resourceUsage().maxRSS,
  }),
);
