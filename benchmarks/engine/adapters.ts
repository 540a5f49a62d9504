// Streams of different adapters against streams of one, ours and llama-server's, and what a hundred adapters cost:
//   node benchmarks/engine/adapters.ts MODEL.gguf [--llama-server PATH] [--streams 8,32] [--adapters 8]
//     [--tokens 64] [--prompt 64] [--threads 1] [--rounds 3] [--rank 16] [--resident 100] [--json]
// Random adapters of all seven matrices are made for the model. Ours talks over IPC, llama-server (or
// $LLAMA_SERVER) over its HTTP with its `lora` field for each request; without it that column is left out.
// Rounds alternate between the peers; figures are medians. Needs a quiet machine.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startEnginePeer, type EnginePeer } from './support/engine-peer.ts';
import { startLlamaServer } from './support/llama-server-peer.ts';
import { writeRandomAdapters } from './support/random-adapters.ts';
import {
  measureStreams,
  median,
  promptOf,
  quantile,
  type Measurement,
  type Peer,
} from './support/streams.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    'llama-server': { type: 'string', default: process.env['LLAMA_SERVER'] ?? '' },
    streams: { type: 'string', default: '8,32' },
    adapters: { type: 'string', default: '8' },
    tokens: { type: 'string', default: '64' },
    prompt: { type: 'string', default: '64' },
    threads: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '3' },
    rank: { type: 'string', default: '16' },
    resident: { type: 'string', default: '100' },
    json: { type: 'boolean', default: false },
  },
});
const [model] = positionals;
if (model === undefined) {
  console.error('usage: adapters.ts MODEL.gguf [--llama-server PATH] [--streams 8,32]');
  process.exit(2);
}
const number = (
  name: 'adapters' | 'tokens' | 'prompt' | 'threads' | 'rounds' | 'rank' | 'resident',
) => Number(values[name]);
const counts = values.streams.split(',').map(Number);
const adapters = number('adapters');
const context = number('prompt') + number('tokens') + 8;
const log = (line: string): void => {
  if (!values.json) console.log(line);
};

const engineOptions = (sequences: number, batching: string) => ({
  n_ctx: context,
  n_seq_max: sequences,
  n_threads: number('threads'),
  prefix_cache_bytes: 0,
  speculation: 'off',
  adapter_batching: batching,
});

interface Case {
  readonly name: string;
  readonly peer: Peer;
  /** Adapters that the streams are spread over. */
  readonly adapters: number;
}

let seed = 0;
async function runCase({ peer, adapters: spread }: Case, streams: number): Promise<Measurement> {
  const requests = Array.from({ length: streams }, (_, i) => ({
    promptTokens: promptOf(seed++, number('prompt')),
    tokens: number('tokens'),
    adapter: i % spread,
  }));
  return measureStreams(peer, requests);
}

async function compare(streams: number, paths: readonly string[]) {
  const start = (name: string, batching: string): Promise<EnginePeer> =>
    startEnginePeer({
      name,
      model: model ?? '',
      options: engineOptions(streams, batching),
      adapters: paths,
    });
  await using ours = await start('ours', 'auto');
  await using switching = await start('switching', 'switching');
  const cases: Case[] = [
    { name: 'ours, one adapter', peer: ours, adapters: 1 },
    { name: `ours, ${adapters} adapters`, peer: ours, adapters },
    { name: `ours switching, ${adapters} adapters`, peer: switching, adapters },
  ];
  const binary = values['llama-server'];
  await using stack = new AsyncDisposableStack();
  if (binary !== '') {
    const options = { binary, model: model ?? '', adapters: paths, streams, context };
    const peer = stack.use(await startLlamaServer({ ...options, threads: number('threads') }));
    cases.push({ name: 'llama-server, one adapter', peer, adapters: 1 });
    cases.push({ name: `llama-server, ${adapters} adapters`, peer, adapters });
  }
  const results = new Map(cases.map((one) => [one, [] as Measurement[]]));
  for (let round = 0; round <= number('rounds'); round++)
    for (const one of round % 2 ? cases.toReversed() : cases) {
      const measured = await runCase(one, streams);
      // The first round warms up.
      if (round > 0) results.get(one)?.push(measured);
    }
  const rows = cases.map((one) => {
    const list = results.get(one) ?? [];
    const first = list.flatMap(({ firstMs }) => firstMs);
    return {
      name: one.name,
      rate: median(list.map(({ rate }) => rate)),
      wholeRate: median(list.map(({ wholeRate }) => wholeRate)),
      firstMs50: median(first),
      firstMs95: quantile(first, 0.95),
      processorMs: median(list.map(({ processorMs }) => processorMs)),
      memory: one.peer.usage().memory,
    };
  });
  const base = rows[0];
  log(`\n${streams} streams`);
  for (const row of rows)
    log(
      `${row.name.padEnd(30)} ${row.rate.toFixed(1).padStart(7)} tok/s (${(row.rate / (base?.rate ?? 1)).toFixed(2)}×), ` +
        `with prompts ${row.wholeRate.toFixed(1)} (${(row.wholeRate / (base?.wholeRate ?? 1)).toFixed(2)}×), ` +
        `` +
        `first token p50 ${row.firstMs50.toFixed(0)} p95 ${row.firstMs95.toFixed(0)} ms, processor ${row.processorMs.toFixed(2)} ms a token (${((base?.processorMs ?? 0) / row.processorMs).toFixed(2)}×), ${(row.memory / 1e6).toFixed(0)} MB`,
    );
  return { streams, rows };
}

/** Loads many adapters one after the other, each with its first token, and looks at the memory. */
async function manyAdapters(files: readonly string[], count: number) {
  const paths = Array.from({ length: count }, (_, i) => files[i % files.length] ?? '');
  const options = engineOptions(8, 'auto');
  await using engine = await startEnginePeer({ name: 'ours', model: model ?? '', options });
  const request = { promptTokens: promptOf(1, number('prompt')), tokens: 1 };
  await engine.stream({ ...request, adapter: null });
  const loads: number[] = [];
  const firsts: number[] = [];
  for (const [i, path] of paths.entries()) {
    const start = performance.now();
    await engine.call({ type: 'load_adapter', adapter_id: String(i), path });
    loads.push(performance.now() - start);
    const { first } = await engine.stream({ ...request, adapter: i });
    firsts.push(first - start);
  }
  const { memory } = engine.usage();
  log(
    `\n${paths.length} adapters: load p50 ${median(loads).toFixed(0)} ms, load and first token of ${request.promptTokens.length} p50 ${median(firsts).toFixed(0)} p95 ` +
      `${quantile(firsts, 0.95).toFixed(0)} max ${Math.max(...firsts).toFixed(0)} ms, resident ${(memory / 1e6).toFixed(0)} MB`,
  );
  return { loads, firsts, memory, status: await engine.call({ type: 'status' }) };
}

const folder = await mkdtemp(join(tmpdir(), 'corral-adapters-'));
try {
  const resident = number('resident');
  // Adapters of equal files are still adapters of their own.
  const count = Math.max(adapters, Math.min(resident, 16));
  const paths = await writeRandomAdapters(model, { folder, count, rank: number('rank') });
  const streams = [];
  for (const each of counts) streams.push(await compare(each, paths.slice(0, adapters)));
  const many = resident > 0 ? await manyAdapters(paths, resident) : null;
  if (values.json) console.log(JSON.stringify({ model, streams, many }, null, 1));
} finally {
  await rm(folder, { recursive: true, force: true });
}
