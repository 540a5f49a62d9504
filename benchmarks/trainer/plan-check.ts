// `plan` against what is then measured: for each case a plan, a real run of a few steps, and both side by side.
//   node benchmarks/trainer/plan-check.ts [--only 'NAME;NAME'] [--threads 2] [--json]
//                                         [--model FILE.gguf] [--qlora FILE.gguf] [--large]
// --model   real weights for the cases of 135M (default: random weights of SmolLM2-135M's shape, byte tokenizer)
// --qlora   adds a case with this 4- or 8-bit GGUF kept packed; --large adds 1.1B with random weights
// Memory is the peak of the process (VmHWM), time the wall clock from its start to its end. Needs no peer.
// Wanted: memory within 15 %, time within 25 %. Let nothing else run.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { RunConfigInput, RunEvent, RunPlan } from '../../packages/contracts/src/index.ts';
import { modelConfigToJson } from '../../packages/formats/src/index.ts';
import { byteLevelFiles } from '../../packages/trainer/src/data/tokenizer.fake.ts';
import { modelSizes } from '../../packages/trainer/src/models/sizes.ts';

const { values: options } = parseArgs({
  options: {
    only: { type: 'string' },
    threads: { type: 'string', default: '2' },
    model: { type: 'string' },
    qlora: { type: 'string' },
    large: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'corral-plan-check-'));
const worker = here('../../packages/trainer/src/worker.ts');
const runtime = { threads: Number(options.threads) };

/** A folder with a shape and a tokenizer and no weights: the trainer draws them. */
function randomModel(name: keyof typeof modelSizes): string {
  const path = join(folder, name);
  const { tokenizerJson, tokenizerConfig } = byteLevelFiles();
  mkdirSync(path);
  const config = modelConfigToJson(modelSizes[name], 'float32');
  writeFileSync(join(path, 'config.json'), JSON.stringify(config));
  writeFileSync(join(path, 'tokenizer.json'), JSON.stringify(tokenizerJson));
  writeFileSync(join(path, 'tokenizer_config.json'), JSON.stringify(tokenizerConfig));
  return path;
}

const words =
  'the ferry leaves the old quay at noon with salt and mail for each of the nine islands '.split(
    ' ',
  );

/** Conversations of about so many tokens each, half of them the answer. */
function writeRows(name: string, count: number, tokens: (row: number) => number): string {
  const path = join(folder, name);
  const text = (row: number, length: number): string => {
    if (options.model === undefined)
      return words
        .join(' ')
        .repeat(10)
        .slice(row % 50, (row % 50) + length);
    return Array.from({ length }, (_, index) => words[(row * 7 + index * 3) % words.length]).join(
      ' ',
    );
  };
  const rows = Array.from({ length: count }, (_, row) => {
    const half = Math.max(4, Math.floor(tokens(row) / 2) - 8);
    return JSON.stringify({
      messages: [
        { role: 'user', content: text(row, half) },
        { role: 'assistant', content: text(row + 1, half) },
      ],
    });
  });
  writeFileSync(path, rows.join('\n'));
  return path;
}

const small = resolve(options.model ?? randomModel('smollm2-135m'));
const long = writeRows('long.jsonl', 64, () => 500);
const short = writeRows('short.jsonl', 400, (row) => 30 + ((row * 37) % 61));
const data = { validation: 0, context_length: 1024 };
const train = { batch_size: 1, max_steps: 16 };

/** Pairs of about so many tokens a side. */
function writePairs(name: string, count: number, tokens: number): string {
  const path = join(folder, name);
  const text = (row: number, step: number): string =>
    Array.from(
      { length: tokens },
      (_, at) => words[(row + step + at * (3 + step)) % words.length],
    ).join(' ');
  const pair = (row: number) => ({
    prompt: text(row, 0),
    chosen: text(row, 1),
    rejected: text(row, 2),
  });
  writeFileSync(
    path,
    Array.from({ length: count }, (_, row) => JSON.stringify(pair(row))).join('\n'),
  );
  return path;
}

/** Plain text of so many lines. */
function writeText(name: string, lines: number): string {
  const path = join(folder, name);
  const line = (at: number) => words.map((_, i) => words[(at + i * 5) % words.length]).join(' ');
  writeFileSync(path, Array.from({ length: lines }, (_, at) => line(at)).join('\n'));
  return path;
}

const rehearsal = here('../../models/rehearsal/rehearsal.gguf');
const facts = here('../../examples/quickstart/rehearsal-train.jsonl');
const toy = { model: rehearsal, data: { train: facts, context_length: 256 } };
const small128 = { context_length: 128, train: writeRows('128.jsonl', 128, () => 96) };

const cases: Record<string, RunConfigInput> = {
  'toy, LoRA': {
    model: here('../../models/rehearsal/rehearsal.gguf'),
    data: { train: here('../../examples/quickstart/rehearsal-train.jsonl'), context_length: 256 },
    train: { batch_size: 8, max_steps: 200 },
  },
  'toy, full': {
    model: here('../../models/rehearsal/rehearsal.gguf'),
    method: 'full',
    data: { train: here('../../examples/quickstart/rehearsal-train.jsonl'), context_length: 256 },
    train: { batch_size: 8, max_steps: 150 },
  },
  'toy, QLoRA': { ...toy, method: 'qlora', train: { batch_size: 8, max_steps: 150 } },
  'toy, LoRA, int8': {
    ...toy,
    train: { batch_size: 8, max_steps: 150 },
    runtime: { precision: 'int8' },
  },
  'toy, pretrain': {
    model: rehearsal,
    method: 'pretrain',
    data: { train: writeText('text.txt', 400), context_length: 256 },
    train: { batch_size: 2, max_steps: 100 },
  },
  'toy, DPO': {
    model: rehearsal,
    method: 'dpo',
    data: { train: writePairs('pairs.jsonl', 100, 20), context_length: 256 },
    train: { batch_size: 4, max_steps: 60 },
  },
  '135M, LoRA, 4 x 128, packed': {
    model: small,
    data: { ...small128, validation: 0.1 },
    train: { batch_size: 4, max_steps: 16 },
  },
  '135M, LoRA, int8, 4 x 128': {
    model: small,
    data: { ...small128, validation: 0.1 },
    train: { batch_size: 4, max_steps: 16 },
    runtime: { precision: 'int8' },
  },
  '135M, QLoRA, 4 x 128': {
    model: small,
    method: 'qlora',
    data: { ...small128, validation: 0.1 },
    train: { batch_size: 4, max_steps: 16 },
  },
  '135M, DPO, 2 x 128': {
    model: small,
    method: 'dpo',
    data: { train: writePairs('pairs-135m.jsonl', 24, 16), context_length: 256 },
    train: { batch_size: 2, max_steps: 8 },
  },
  '135M, full, 4 x 128': {
    model: small,
    method: 'full',
    data: { ...small128, validation: 0.1 },
    train: { batch_size: 4, max_steps: 8 },
  },
  '135M, LoRA, 1 x 2048': {
    model: small,
    data: {
      validation: 0,
      context_length: 2048,
      train: writeRows('2048.jsonl', 16, () => 1900),
    },
    train: { batch_size: 1, max_steps: 4 },
  },
  '135M, LoRA, 1 x 512': { model: small, data: { ...data, train: long }, train },
  '135M, LoRA, 4 x 512': {
    model: small,
    data: { ...data, train: long },
    train: { batch_size: 4, max_steps: 6 },
  },
  '135M, LoRA, short, packed': {
    model: small,
    data: { ...data, validation: 0.1, train: short },
    train: { batch_size: 8, max_steps: 16 },
  },
  '135M, LoRA, short, not packed': {
    model: small,
    data: { ...data, train: short, packing: false },
    train: { batch_size: 8, max_steps: 12 },
  },
  '135M, full, 1 x 512': {
    model: small,
    method: 'full',
    data: { ...data, train: long },
    train: { ...train, max_steps: 10 },
  },
  ...(options.qlora === undefined
    ? {}
    : {
        'QLoRA, 1 x 512': {
          model: resolve(options.qlora),
          method: 'qlora' as const,
          data: { ...data, train: long },
          train: { ...train, max_steps: 4 },
        },
      }),
  ...(options.large
    ? {
        '1.1B, LoRA, 1 x 512': {
          model: randomModel('tinyllama-1.1b'),
          data: { ...data, train: long },
          train: { ...train, max_steps: 6 },
        },
      }
    : {}),
};

interface Answer {
  readonly lines: readonly string[];
  readonly seconds: number;
}

async function run(command: string, config: string, more: readonly string[] = []): Promise<Answer> {
  const began = performance.now();
  const child = spawn(process.execPath, [worker, command, '--config', config, ...more], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${said.slice(-2000)}`);
  return { lines: said.trim().split('\n'), seconds: (performance.now() - began) / 1000 };
}

interface Row {
  readonly name: string;
  readonly memoryPredicted: number;
  readonly memoryMeasured: number;
  readonly secondsPredicted: number;
  readonly secondsMeasured: number;
}

async function check(name: string, config: RunConfigInput, index: number): Promise<Row> {
  const path = join(folder, `case-${index}.json`);
  writeFileSync(path, JSON.stringify({ ...config, runtime: { ...runtime, ...config.runtime } }));
  const planned = await run('plan', path);
  const plan = JSON.parse(planned.lines.at(-1) ?? '') as RunPlan;
  const output = join(folder, `out-${index}`);
  const trained = await run('train', path, ['--output', output]);
  const events = trained.lines.map((line) => JSON.parse(line) as RunEvent);
  const finished = events.find((event) => event.type === 'finished');
  rmSync(output, { recursive: true });
  return {
    name,
    memoryPredicted: plan.peak_memory_bytes,
    memoryMeasured: finished?.peak_memory_bytes ?? NaN,
    secondsPredicted: plan.seconds,
    secondsMeasured: trained.seconds,
  };
}

const only = options.only?.split(';').map((name) => name.trim());
const ratio = (predicted: number, measured: number): string =>
  `${((predicted / measured - 1) * 100).toFixed(0)} %`;
const gigabytes = (bytes: number): string => (bytes / 1e9).toFixed(2);

try {
  const rows: Row[] = [];
  for (const [index, [name, config]] of Object.entries(cases).entries()) {
    if (only && !only.some((part) => name.includes(part))) continue;
    const row = await check(name, config, index);
    rows.push(row);
    if (options.json) continue;
    const memory = `memory ${gigabytes(row.memoryPredicted)} / ${gigabytes(row.memoryMeasured)} GB (${ratio(row.memoryPredicted, row.memoryMeasured)})`;
    const time = `time ${row.secondsPredicted.toFixed(0)} / ${row.secondsMeasured.toFixed(1)} s (${ratio(row.secondsPredicted, row.secondsMeasured)})`;
    console.log(`${name.padEnd(32)} ${memory.padEnd(36)} ${time}`);
  }
  if (options.json) console.log(JSON.stringify(rows));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
