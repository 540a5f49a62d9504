// The engine child beside node-llama-cpp, both over IPC, same model file, same threads, rounds by turns:
//   NODE_LLAMA_CPP=FOLDER node benchmarks/engine/against-node-llama-cpp.ts MODEL.gguf [--streams 1,8]
//     [--threads 1] [--rounds 3] [--tokens 128] [--json]
// FOLDER: where `npm i --ignore-scripts node-llama-cpp@3.22.1` was run, the package whose libraries the engine
// uses. Prompts of 64 token ids, greedy, no end of text. Needs a quiet machine.
import { parseArgs } from 'node:util';
import { startEnginePeer } from './support/engine-peer.ts';
import { startNodeLlamaCpp } from './support/node-llama-cpp-peer.ts';
import { measureStreams, median, promptOf, quantile, type Measurement } from './support/streams.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    streams: { type: 'string', default: '1,8' },
    threads: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '3' },
    tokens: { type: 'string', default: '128' },
    json: { type: 'boolean', default: false },
  },
});
const [model] = positionals;
const folder = process.env['NODE_LLAMA_CPP'];
if (model === undefined || folder === undefined) {
  console.error('usage: NODE_LLAMA_CPP=FOLDER against-node-llama-cpp.ts MODEL.gguf');
  process.exit(2);
}
const threads = Number(values.threads);
const tokens = Number(values.tokens);
const rounds = Number(values.rounds);
const contextTokens = 256;

const summary = (all: readonly Measurement[]) => ({
  'tok/s': median(all.map(({ wholeRate }) => wholeRate)),
  'ttft p50 ms': median(all.map(({ firstMs }) => median(firstMs))),
  'ttft p95 ms': median(all.map(({ firstMs }) => quantile(firstMs, 0.95))),
  'processor ms/tok': median(all.map(({ processorMs }) => processorMs)),
});

const rows: Record<string, string | number>[] = [];
for (const streams of values.streams.split(',').map(Number)) {
  await using engine = await startEnginePeer({
    name: 'corral',
    model,
    options: { n_ctx: contextTokens, n_seq_max: streams, n_threads: threads },
  });
  await using other = await startNodeLlamaCpp({
    ...{ folder, model, sequences: streams, contextTokens, threads },
  });
  const found = new Map([engine, other].map((peer) => [peer, [] as Measurement[]]));
  // The first round loads the model and compiles the code.
  for (let round = 0; round <= rounds; round++)
    for (const peer of round % 2 === 0 ? [engine, other] : [other, engine]) {
      const requests = Array.from({ length: streams }, (_, i) => ({
        promptTokens: promptOf(round * streams + i, 64),
        tokens,
        adapter: null,
      }));
      const measured = await measureStreams(peer, requests);
      if (round > 0) found.get(peer)?.push(measured);
    }
  const [ours, theirs] = [engine, other].map((peer) => summary(found.get(peer) ?? []));
  rows.push({ streams, peer: 'corral', ...ours }, { streams, peer: other.name, ...theirs });
  const ratio = (ours?.['tok/s'] ?? 0) / (theirs?.['tok/s'] ?? 1);
  rows.push({ streams, peer: 'ours / theirs', 'tok/s': ratio });
}
if (values.json) console.log(JSON.stringify(rows));
else console.table(rows);
process.exit(0);
