// How soon a model answers that is not loaded, and what memory it takes, beside llama-server of the same
// release, same model file, same threads:
//   node benchmarks/engine/start-and-memory.ts MODEL.gguf [--llama-server PATH] [--threads 1] [--rounds 5]
//     [--streams 8] [--context 256] [--json]
// Start: Corral's server is up; from the request for a model that is not loaded to its first token, for the
// first request of a server and for one after the model was unloaded for being idle. llama-server: from its
// start to the first token, asked again every 5 ms until it answers. Memory: after all streams have run side by
// side; "private" is what would be free if the process ended. The peer's path may be in LLAMA_SERVER. Linux only.
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startCorralServer, type CorralServerPeer } from './support/corral-server-peer.ts';
import { httpStream, type HttpTarget } from './support/http-stream.ts';
import { processMemory, type ProcessMemory } from './support/process-memory.ts';
import { wordsOf } from './support/prompts.ts';
import { median } from './support/streams.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    'llama-server': { type: 'string', default: process.env['LLAMA_SERVER'] ?? '' },
    threads: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '5' },
    streams: { type: 'string', default: '8' },
    context: { type: 'string', default: '256' },
    json: { type: 'boolean', default: false },
  },
});
const [model = ''] = positionals;
const binary = values['llama-server'];
if (model === '') {
  console.error('usage: start-and-memory.ts MODEL.gguf [--llama-server PATH]');
  process.exit(2);
}
const rounds = Number(values.rounds);
const streams = Number(values.streams);
const context = Number(values.context);
const threads = Number(values.threads);

const rows: Record<string, string | number>[] = [];
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

let seed = 0;
const question = () => ({
  messages: [{ role: 'user', content: wordsOf(seed++, 16) }],
  max_tokens: 2,
});

/** Milliseconds from the request to its first token. */
async function firstToken(target: HttpTarget): Promise<number> {
  const { start, times } = await httpStream(target, question());
  return (times[0] ?? Number.NaN) - start;
}

interface Llama extends AsyncDisposable {
  readonly target: HttpTarget;
  readonly pid: number;
  /** From its start to its first token. */
  readonly startedMs: number;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address ? address.port : 0;
}

async function startLlama(): Promise<Llama> {
  const port = await freePort();
  const flags = {
    '--model': model,
    '--port': port,
    '--parallel': streams,
    '--ctx-size': context * streams,
    '--threads': threads,
    '--threads-batch': threads,
  };
  const start = performance.now();
  const options = [...Object.entries(flags).flat().map(String), '--no-webui'];
  const child = spawn(binary, options, { stdio: 'ignore' });
  const url = `http://127.0.0.1:${port}`;
  const target = { name: 'llama-server', url, model: '', apiKey: '', extra: {} };
  for (;;) {
    const isDone = await firstToken(target).then(
      () => true,
      () => false,
    );
    if (isDone) break;
    if (child.exitCode !== null) throw new Error('llama-server has ended');
    await sleep(5);
  }
  return {
    target,
    pid: child.pid ?? 0,
    startedMs: performance.now() - start,
    [Symbol.asyncDispose]: async () => {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill();
      await gone;
    },
  };
}

const home = await mkdtemp(join(tmpdir(), 'corral-bench-'));
const startCorral = (settings: Record<string, string> = {}): Promise<CorralServerPeer> =>
  startCorralServer({ home, model, context, streams, threads, settings });

async function unloaded(corral: CorralServerPeer): Promise<void> {
  while (corral.pids().engine !== 0) await sleep(100);
  // What a server does after a model has gone is not to be measured with the next one.
  await sleep(1500);
}

async function measureStart(): Promise<void> {
  const first: number[] = [];
  const again: number[] = [];
  const theirs: number[] = [];
  // The first of all writes the cache of compiled code: a new installation, told apart.
  const settings = { CORRAL_SERVING_IDLE_UNLOAD_SECONDS: '2' };
  let fresh = Number.NaN;
  for (let round = 0; round <= rounds; round++) {
    await using corral = await startCorral(settings);
    await sleep(1500);
    const ms = await firstToken(corral.target);
    if (round === 0) fresh = ms;
    else first.push(ms);
    await unloaded(corral);
    if (round > 0) again.push(await firstToken(corral.target));
    if (round === 0 || binary === '') continue;
    await using llama = await startLlama();
    theirs.push(llama.startedMs);
  }
  const peer = median(theirs);
  const told = (what: string, list: readonly number[]): void => {
    const ms = median(list);
    const ratio = theirs.length > 0 ? { 'ours / theirs': Number((ms / peer).toFixed(2)) } : {};
    const spread = `${Math.round(Math.min(...list))}–${Math.round(Math.max(...list))}`;
    rows.push({ figure: `first token, ${what}`, ms: Math.round(ms), spread, ...ratio });
  };
  told('new installation', [fresh]);
  told('first request of a server', first);
  told('after an idle unload', again);
  if (theirs.length > 0) told('llama-server', theirs);
}

async function runStreams(target: HttpTarget): Promise<void> {
  const body = (i: number) => ({
    messages: [{ role: 'user', content: `Tell me all about animal number ${i}.` }],
    max_tokens: Math.min(96, context >> 1),
  });
  await Promise.all(Array.from({ length: streams }, (_, i) => httpStream(target, body(i))));
  await sleep(1500);
}

function tell(process: string, memory: ProcessMemory): number {
  const figures = Object.entries(memory).map(([name, value]): [string, number] => [
    `${name} MB`,
    Math.round(value as number),
  ]);
  rows.push({ figure: `memory, ${process}`, ...Object.fromEntries(figures) });
  return memory.privateDirty + memory.privateClean;
}

async function measureMemory(): Promise<void> {
  // One after the other: pages of the model that both have mapped would count as shared.
  let ours: number;
  {
    await using corral = await startCorral();
    await runStreams(corral.target);
    const { server, engine } = corral.pids();
    tell('corral server', processMemory(server));
    ours = tell('corral engine', processMemory(engine));
  }
  if (binary === '') return;
  await using llama = await startLlama();
  await runStreams(llama.target);
  const theirs = tell('llama-server', processMemory(llama.pid));
  rows.push({
    figure: 'memory, engine / llama-server',
    private: Number((ours / theirs).toFixed(2)),
  });
}

try {
  await measureStart();
  await measureMemory();
} finally {
  await rm(home, { recursive: true, force: true });
}
if (values.json) console.log(JSON.stringify(rows));
else
  for (const row of rows)
    console.log(
      Object.entries(row)
        .map(([k, v]) => `${k} ${v}`)
        .join('  '),
    );
