// Streams of different adapters against streams of one, ours in every way and llama-server's, and what a hundred
// adapters cost; the first is the measure of the others:
//   node benchmarks/engine/adapters.ts MODEL.gguf… [--llama-server PATH] [--streams 8,32] [--adapters 8]
//     [--modes stacked,contexts,switching] [--tokens 64] [--prompt 64] [--threads 1] [--rounds 3] [--rank 16]
//     [--resident 100] [--json]
// Random adapters of all seven matrices are made for each model. Ours talks over IPC, llama-server (or
// $LLAMA_SERVER) over its HTTP with its `lora` field for each request; without it that column is left out.
// Rounds alternate between the peers; figures are medians. Needs a quiet machine.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startEnginePeer } from './support/engine-peer.ts';
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
    modes: { type: 'string', default: 'stacked,contexts,switching' },
    tokens: { type: 'string', default: '64' },
    prompt: { type: 'string', default: '64' },
    threads: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '3' },
    rank: { type: 'string', default: '16' },
    resident: { type: 'string', default: '100' },
    json: { type: 'boolean', default: false },
  },
});
if (positionals.length === 0) {
  console.error('usage: adapters.ts MODEL.gguf… [--llama-server PATH] [--streams 8,32]');
  process.exit(2);
}
const number = (
  name: 'adapters' | 'tokens' | 'prompt' | 'threads' | 'rounds' | 'rank' | 'resident',
) => Number(values[name]);
const counts = values.streams.split(',').map(Number);
const modes = values.modes.split(',');
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

interface Bench {
  readonly model: string;
  readonly paths: readonly string[];
}

/** Ours in every way, the first with one adapter too; llama-server with one and with all. */
async function startCases(
  { model, paths }: Bench,
  streams: number,
  peers: AsyncDisposableStack,
): Promise<Case[]> {
  const cases: Case[] = [];
  for (const mode of modes) {
    const options = engineOptions(streams, mode);
    const peer = peers.use(
      await startEnginePeer({ name: mode, model, options, adapters: paths.slice(0, adapters) }),
    );
    if (cases.length === 0) cases.push({ name: 'ours, one adapter', peer, adapters: 1 });
    cases.push({ name: `ours ${mode}, ${adapters} adapters`, peer, adapters });
  }
  const binary = values['llama-server'];
  if (binary === '') return cases;
  const options = { binary, model, adapters: paths.slice(0, adapters), streams, context };
  const peer = peers.use(await startLlamaServer({ ...options, threads: number('threads') }));
  cases.push({ name: 'llama-server, one adapter', peer, adapters: 1 });
  cases.push({ name: `llama-server, ${adapters} adapters`, peer, adapters });
  return cases;
}

function summary({ name, peer }: Case, list: readonly Measurement[]) {
  const first = list.flatMap(({ firstMs }) => firstMs);
  return {
    name,
    rate: median(list.map(({ rate }) => rate)),
    wholeRate: median(list.map(({ wholeRate }) => wholeRate)),
    firstMs50: median(first),
    firstMs95: quantile(first, 0.95),
    processorMs: median(list.map(({ processorMs }) => processorMs)),
    memory: peer.usage().memory,
  };
}
type Row = ReturnType<typeof summary>;

function logRow(row: Row, base: Row): void {
  const times = (own: number, other: number): string => `${(own / other).toFixed(2)}×`;
  log(
    `${row.name.padEnd(30)} ${row.rate.toFixed(1).padStart(7)} tok/s (${times(row.rate, base.rate)}), ` +
      `with prompts ${row.wholeRate.toFixed(1)} (${times(row.wholeRate, base.wholeRate)}), ` +
      `first token p50 ${row.firstMs50.toFixed(0)} p95 ${row.firstMs95.toFixed(0)} ms, ` +
      `processor ${row.processorMs.toFixed(2)} ms a token (${times(base.processorMs, row.processorMs)}), ` +
      `${(row.memory / 1e6).toFixed(0)} MB`,
  );
}

async function compare(bench: Bench, streams: number) {
  await using peers = new AsyncDisposableStack();
  const cases = await startCases(bench, streams, peers);
  const results = new Map(cases.map((one) => [one, [] as Measurement[]]));
  for (let round = 0; round <= number('rounds'); round++)
    for (const one of round % 2 ? cases.toReversed() : cases) {
      const measured = await runCase(one, streams);
      // The first round warms up.
      if (round > 0) results.get(one)?.push(measured);
    }
  const rows = cases.map((one) => summary(one, results.get(one) ?? []));
  log(`\n${bench.model}, ${streams} streams`);
  for (const row of rows) logRow(row, rows[0] ?? row);
  return { streams, rows };
}

/** Loads many adapters one after the other, each with its first token, and looks at the memory. */
async function manyAdapters({ model, paths: files }: Bench, count: number) {
  const paths = Array.from({ length: count }, (_, i) => files[i % files.length] ?? '');
  const options = engineOptions(8, 'auto');
  await using engine = await startEnginePeer({ name: 'ours', model, options });
  const request = { promptTokens: promptOf(1, number('prompt')), tokens: 1 };
  const loads: number[] = [];
  const firsts: number[] = [];
  const bases: number[] = [];
  for (const [i, path] of paths.entries()) {
    const begin = performance.now();
    const base = await engine.stream({ ...request, adapter: null });
    bases.push(base.first - begin);
    const start = performance.now();
    await engine.call({ type: 'load_adapter', adapter_id: String(i), path });
    loads.push(performance.now() - start);
    const { first } = await engine.stream({ ...request, adapter: i });
    firsts.push(first - start);
  }
  const { memory } = engine.usage();
  log(
    `${paths.length} adapters: load p50 ${median(loads).toFixed(0)} ms, load and first token of ${request.promptTokens.length} ` +
      `p50 ${median(firsts).toFixed(0)} p95 ${quantile(firsts, 0.95).toFixed(0)} max ${Math.max(...firsts).toFixed(0)} ms ` +
      `(without an adapter ${median(bases).toFixed(0)} ms), resident ${(memory / 1e6).toFixed(0)} MB`,
  );
  return { loads, firsts, bases, memory, status: await engine.call({ type: 'status' }) };
}

async function measureModel(model: string) {
  const folder = await mkdtemp(join(tmpdir(), 'corral-adapters-'));
  try {
    const resident = number('resident');
    // Adapters of equal files are still adapters of their own.
    const count = Math.max(adapters, Math.min(resident, 16));
    const paths = await writeRandomAdapters(model, { folder, count, rank: number('rank') });
    const bench = { model, paths };
    const streams = [];
    for (const each of counts) streams.push(await compare(bench, each));
    const many = resident > 0 ? await manyAdapters(bench, resident) : null;
    return { model, streams, many };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const measured = [];
for (const model of positionals) measured.push(await measureModel(model));
if (values.json) console.log(JSON.stringify(measured, null, 1));
