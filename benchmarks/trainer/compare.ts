// Ours against PyTorch + PEFT on one machine, run in turns, because shared machines drift:
//   PYTHON=path/to/python node benchmarks/trainer/compare.ts [rounds] [seconds]
// Prints the best of each and the ratio to PyTorch float32, by wall time and by processor time (what
// counts when other programs share the cores). Differences below 15 % between two runs mean nothing.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

interface Measurement {
  readonly tokensPerSecond: number;
  readonly tokensPerCpuSecond: number;
  readonly peakMemoryBytes: number;
}

const rounds = Number(process.argv[2] ?? 3);
const seconds = process.argv[3] ?? '15';
const python = process.env['PYTHON'] ?? 'python3';
const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

const measure = (command: string, args: readonly string[]): Measurement => {
  const out = execFileSync(command, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return JSON.parse(out.trim().split('\n').at(-1) ?? '') as Measurement;
};

const runs = {
  'ours, one example of 512': (threads: string) =>
    measure(process.execPath, [path('ours.ts'), threads, seconds, 'long']),
  'ours, packed examples of 40-100, half scored': (threads: string) =>
    measure(process.execPath, [path('ours.ts'), threads, seconds, 'short']),
  'PyTorch + PEFT float32': (threads: string) =>
    measure(python, [path('peft_lora.py'), threads, seconds, 'float32']),
  'PyTorch + PEFT bfloat16': (threads: string) =>
    measure(python, [path('peft_lora.py'), threads, seconds, 'bfloat16']),
};
const baseline = 'PyTorch + PEFT float32';

for (const threads of ['1', '2']) {
  const best = new Map<string, Measurement>();
  for (let round = 0; round < rounds; round++) {
    for (const [name, run] of Object.entries(runs)) {
      const found = run(threads);
      const known = best.get(name) ?? found;
      best.set(name, {
        tokensPerSecond: Math.max(found.tokensPerSecond, known.tokensPerSecond),
        tokensPerCpuSecond: Math.max(found.tokensPerCpuSecond, known.tokensPerCpuSecond),
        peakMemoryBytes: Math.max(found.peakMemoryBytes, known.peakMemoryBytes),
      });
    }
  }
  const reference = best.get(baseline);
  console.log(`${threads} thread(s): tokens a second, tokens a processor second, peak memory`);
  for (const [name, found] of best) {
    const figures = (['tokensPerSecond', 'tokensPerCpuSecond'] as const).map((figure) => {
      const ratio = found[figure] / (reference?.[figure] ?? Number.NaN);
      return `${found[figure].toFixed(0)} (${ratio.toFixed(2)} x)`;
    });
    const memory = (found.peakMemoryBytes / 1e9).toFixed(2);
    console.log(`  ${name}: ${figures.join(', ')}, ${memory} GB`);
  }
}
