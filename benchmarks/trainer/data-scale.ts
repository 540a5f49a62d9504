// Reading, checking and tokenising a large file: tokens a second and how memory stays flat. No peer needed.
//   node benchmarks/trainer/data-scale.ts MODEL [--rows 1000000] [--threads 2] [--json]
// MODEL is a GGUF file or a folder with a tokenizer. Rows are short conversations of common words, made
// as a file first (about 150 bytes each) and removed afterwards, with the examples (about 200 bytes each).
import { createWriteStream } from 'node:fs';
import { once } from 'node:events';
import { mkdtempDisposable, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runConfigSchema } from '@corral/contracts';
import { resolveConfig } from '../../packages/trainer/src/config/resolve-config.ts';
import { shuffledOrder } from '../../packages/trainer/src/data/order.ts';
import { loadData } from '../../packages/trainer/src/recipes/load-data.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rows: { type: 'string', default: '1000000' },
    threads: { type: 'string', default: '2' },
    json: { type: 'boolean', default: false },
  },
});
const [model] = positionals;
if (model === undefined) throw new Error('give a model: a GGUF file or a folder');
const rows = Number(values.rows);

const words =
  'the ferry leaves harbour at seven in morning when tide is high and wind from west carries smell of salt over old stone quay where boats wait for their people'.split(
    ' ',
  );
const sentence = (seed: number, length: number): string =>
  Array.from(
    { length },
    (_, at) => words[Math.imul(seed + 31 * at, 0x9e3779b1) >>> 27] ?? 'sea',
  ).join(' ');

async function writeRows(path: string): Promise<void> {
  const file = createWriteStream(path);
  for (let row = 0; row < rows; row += 1) {
    const line = JSON.stringify({
      messages: [
        { role: 'user', content: `${row}: ${sentence(row, 4 + (row % 5))}?` },
        { role: 'assistant', content: sentence(row * 7, 3 + (row % 9)) },
      ],
    });
    if (!file.write(`${line}\n`)) await once(file, 'drain');
  }
  file.end();
  await once(file, 'finish');
}

const mebibytes = (bytes: number): number => Math.round(bytes / 2 ** 20);
const memory: number[] = [];

await using place = await mkdtempDisposable(join(tmpdir(), 'corral-data-scale-'));
const path = join(place.path, 'rows.jsonl');
await writeRows(path);
const config = await resolveConfig(
  runConfigSchema.parse({
    model,
    data: { train: path, context_length: 512 },
    runtime: { threads: Number(values.threads) },
  }),
  process.cwd(),
);
const watch = setInterval(() => memory.push(process.memoryUsage.rss()), 500);
const before = process.cpuUsage();
const began = performance.now();
using data = await loadData({
  config,
  identity: 'benchmark',
  output: place.path,
  signal: new AbortController().signal,
  emit: () => undefined,
  openModel: () => Promise.reject(new Error('no model is needed')),
});
const seconds = (performance.now() - began) / 1000;
const { user, system } = process.cpuUsage(before);
clearInterval(watch);

// One epoch's order, and examples from all over the file.
const order = shuffledOrder(data.train.count, 42, 0);
const readAt = performance.now();
const reads = Math.min(100_000, order.length);
for (let at = 0; at < reads; at += 1) data.train.get(order[at] ?? 0);
const readMicroseconds = ((performance.now() - readAt) * 1000) / reads;

const { tokens } = data.report;
const quarter = (share: number): number =>
  mebibytes(memory[Math.floor((memory.length - 1) * share)] ?? process.memoryUsage.rss());
const found = {
  rows,
  file_mib: mebibytes((await stat(path)).size),
  tokens: tokens.total,
  seconds: Number(seconds.toFixed(1)),
  tokens_per_second: Math.round(tokens.total / seconds),
  tokens_per_cpu_second: Math.round(tokens.total / ((user + system) / 1e6)),
  rss_mib_quarters: [0.25, 0.5, 0.75, 1].map(quarter),
  rss_mib_with_order: mebibytes(process.memoryUsage.rss()),
  read_microseconds: Number(readMicroseconds.toFixed(1)),
};
if (values.json) console.log(JSON.stringify(found));
else console.table(found);
