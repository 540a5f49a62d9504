// Ours against PyTorch + PEFT on one machine, in turns, because shared machines drift: float32 against
// float32, an int8 base against bfloat16, the same shapes and tokens, whole steps.
//   PYTHON=path/to/python node benchmarks/trainer/compare.ts [--models shape:135m,shape:1.1b,shape:7b:2layers]
//     [--threads 1,2] [--rounds 3] [--seconds 15] [--rows 1] [--json]
// PYTHON has torch, transformers and peft. The best round of each counts; differences below 15 % mean
// nothing. `share` is of the best float32 product that ONNX Runtime itself reaches in the same run; `unpack` is
// the share of a step's processor time that makes numbers of a base in 4-bit blocks.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { modelConfigToJson } from '@corral/formats';
import { shapeNamed } from './shapes.ts';

interface Measurement {
  readonly tokensPerSecond: number;
  readonly tokensPerCpuSecond: number;
  readonly peakMemoryBytes: number;
  readonly shareOfProduct?: number;
  /** Of a step's processor time, with a base in 4-bit blocks. */
  readonly shareOfDequantising?: number;
}

const { values: options } = parseArgs({
  options: {
    models: { type: 'string', default: 'shape:135m,shape:1.1b,shape:7b:2layers' },
    threads: { type: 'string', default: '1,2' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '15' },
    rows: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
  },
});
const python = process.env['PYTHON'] ?? 'python3';
const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

const measure = (command: string, args: readonly string[]): Measurement => {
  const out = execFileSync(command, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return JSON.parse(out.trim().split('\n').at(-1) ?? '') as Measurement;
};

interface Case {
  readonly model: string;
  readonly threads: string;
}

const common = ({ threads }: Case): string[] =>
  Object.entries({ threads, seconds: options.seconds, rows: options.rows }).flatMap(
    ([name, value]) => [`--${name}`, value],
  );
const ours = (at: Case, more: readonly string[]): Measurement =>
  measure(process.execPath, [path('ours.ts'), '--model', at.model, ...common(at), ...more]);
const peer = (at: Case, dtype: string): Measurement => {
  const config = JSON.stringify(modelConfigToJson(shapeNamed(at.model), 'float32'));
  return measure(python, [path('peft_lora.py'), config, ...common(at), '--dtype', dtype]);
};

/** In the order in which they run; each is held against the peer named beside it. */
const runs = {
  'PyTorch float32': { run: (at: Case) => peer(at, 'float32'), against: null },
  'ours float32': { run: (at: Case) => ours(at, []), against: 'PyTorch float32' },
  'PyTorch bfloat16': { run: (at: Case) => peer(at, 'bfloat16'), against: null },
  'ours int8': {
    run: (at: Case) => ours(at, ['--precision', 'int8']),
    against: 'PyTorch bfloat16',
  },
  'ours qlora': { run: (at: Case) => ours(at, ['--method', 'qlora']), against: 'ours float32' },
  'ours float32, packed short examples': {
    run: (at: Case) => ours(at, ['--workload', 'short']),
    against: null,
  },
} as const;

/** The best of each figure; how the time was spent, of the faster one. */
const better = (a: Measurement, b: Measurement): Measurement => ({
  ...(a.tokensPerSecond > b.tokensPerSecond ? a : b),
  tokensPerSecond: Math.max(a.tokensPerSecond, b.tokensPerSecond),
  tokensPerCpuSecond: Math.max(a.tokensPerCpuSecond, b.tokensPerCpuSecond),
  peakMemoryBytes: Math.max(a.peakMemoryBytes, b.peakMemoryBytes),
  shareOfProduct: Math.max(a.shareOfProduct ?? 0, b.shareOfProduct ?? 0),
});

const compare = (at: Case): Map<string, Measurement> => {
  const best = new Map<string, Measurement>();
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const [name, { run }] of Object.entries(runs)) {
      const found = run(at);
      const known = best.get(name);
      best.set(name, known ? better(known, found) : found);
    }
  }
  return best;
};

const row = (name: string, found: Measurement, reference: Measurement | undefined): string =>
  [
    name.padEnd(36),
    found.tokensPerSecond.toFixed(1).padStart(9),
    reference
      ? `${(found.tokensPerSecond / reference.tokensPerSecond).toFixed(2)} ×`.padStart(9)
      : ''.padStart(9),
    reference
      ? `${(found.tokensPerCpuSecond / reference.tokensPerCpuSecond).toFixed(2)} ×`.padStart(10)
      : ''.padStart(10),
    (found.shareOfProduct ? `${(100 * found.shareOfProduct).toFixed(0)} %` : '').padStart(7),
    `${(found.peakMemoryBytes / 1e9).toFixed(2)} GB`.padStart(10),
    found.shareOfDequantising === undefined
      ? ''
      : `${(100 * found.shareOfDequantising).toFixed(1)} %`.padStart(8),
  ].join(' ');

const results: Record<string, Record<string, Measurement>> = {};
for (const model of options.models.split(',')) {
  for (const threads of options.threads.split(',')) {
    const best = compare({ model, threads });
    results[`${model} ${threads}`] = Object.fromEntries(best);
    if (options.json) continue;
    console.log(`\n${model}, ${threads} thread(s)`);
    const heads = ['tokens/s', 'ratio', 'ratio/CPU', 'share', 'memory', 'unpack'];
    const widths = [9, 9, 10, 7, 10, 8];
    console.log(''.padEnd(36), heads.map((head, i) => head.padStart(widths[i] ?? 9)).join(' '));
    for (const [name, { against }] of Object.entries(runs)) {
      const found = best.get(name);
      if (found) console.log(row(name, found, best.get(against ?? '')));
    }
  }
}
if (options.json) console.log(JSON.stringify(results));
