// What a run spends beside its maths: events, checkpoints, tokenising. Trains for real and divides the wall clock.
//   node benchmarks/trainer/overhead.ts MODEL.gguf [--steps 100] [--threads 2] [--json]
// Data: examples/quickstart. Wanted: together at most 3 % of the run. Needs no peer; let nothing else run.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { RunConfigInput, RunEvent } from '../../packages/contracts/src/index.ts';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    steps: { type: 'string', default: '100' },
    threads: { type: 'string', default: '2' },
    json: { type: 'boolean', default: false },
  },
});
const model = positionals[0];
if (model === undefined) throw new Error('give a GGUF file');

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'corral-overhead-'));
const config: RunConfigInput = {
  model: resolve(model),
  data: { train: here('../../examples/quickstart/train.jsonl'), context_length: 512 },
  train: { batch_size: 8, max_steps: Number(options.steps) },
  runtime: { threads: Number(options.threads) },
};

/** Seconds until each event, since the one before it. */
async function listen(path: string): Promise<{ event: RunEvent; seconds: number }[]> {
  const worker = here('../../packages/trainer/src/worker.ts');
  const args = [worker, 'train', '--config', path, '--output', join(folder, 'out')];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const heard: { event: RunEvent; seconds: number }[] = [];
  let rest = '';
  let last = performance.now();
  child.stdout.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const now = performance.now();
      heard.push({ event: JSON.parse(line) as RunEvent, seconds: (now - last) / 1000 });
      last = now;
    }
  });
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`the run ended with ${code}`);
  return heard;
}

try {
  const path = join(folder, 'run.json');
  writeFileSync(path, JSON.stringify(config));
  const heard = await listen(path);
  const sum = (wanted: (event: RunEvent) => boolean): number =>
    heard.reduce((total, { event, seconds }) => total + (wanted(event) ? seconds : 0), 0);
  const finished = heard.find(({ event }) => event.type === 'finished')?.event;
  const figures = finished?.type === 'finished' ? finished : null;
  // The trainer's own clock around forward, backward and update.
  const maths = (figures?.tokens ?? 0) / (figures?.tokens_per_second ?? 1);
  const parts = {
    maths,
    'events and batches': Math.max(0, sum(({ type }) => type === 'step') - maths),
    checkpoints: sum(({ type }) => type === 'checkpoint'),
    tokenising: sum((event) => event.type === 'phase' && event.name === 'tokenise'),
  };
  const overhead = parts['events and batches'] + parts.checkpoints + parts.tokenising;
  const share = overhead / (maths + overhead);
  if (options.json) console.log(JSON.stringify({ ...parts, share }));
  else {
    for (const [name, seconds] of Object.entries(parts)) {
      console.log(`${name.padEnd(20)} ${seconds.toFixed(2)} s`);
    }
    console.log(`overhead ${(100 * share).toFixed(1)} % of the run`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
