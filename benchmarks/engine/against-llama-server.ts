// Corral's whole server (HTTP, policy, SSE) beside llama-server of the same release, same model file, same
// threads, rounds by turns:
//   node benchmarks/engine/against-llama-server.ts MODEL.gguf [--llama-server PATH] [--threads 1]
//     [--rounds 3] [--scenarios load,streams,prefix,speculation,long,options] [--streams 1,8,32] [--quick] [--json]
// The peer's path may be in LLAMA_SERVER; without it only Corral is measured. Needs a quiet machine: the
// client shares it. Prompts of 64 words (--words), 128 new tokens, greedy, no end of text; medians.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startCorralServer, type CorralServerPeer } from './support/corral-server-peer.ts';
import { httpStream, type HttpStream, type HttpTarget } from './support/http-stream.ts';
import { processUsage, startEnginePeer } from './support/engine-peer.ts';
import { startLlamaServer, type LlamaServerPeer } from './support/llama-server-peer.ts';
import { median, promptOf, quantile } from './support/streams.ts';
import { copyTasks, longPrompt, sharedPrompt, storyTasks, wordsOf } from './support/prompts.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    'llama-server': { type: 'string', default: process.env['LLAMA_SERVER'] ?? '' },
    threads: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '3' },
    words: { type: 'string', default: '64' },
    streams: { type: 'string', default: '1,8,32' },
    scenarios: { type: 'string', default: 'load,streams,prefix,speculation,long,options' },
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
const [model] = positionals;
if (model === undefined) {
  console.error('usage: against-llama-server.ts MODEL.gguf [--llama-server PATH]');
  process.exit(2);
}
const rounds = values.quick ? 1 : Number(values.rounds);
const newTokens = values.quick ? 32 : 128;
const threads = Number(values.threads);
const counts = (values.quick ? '1,8' : values.streams).split(',').map(Number);

interface Row {
  readonly scenario: string;
  readonly peer: string;
  readonly figures: Record<string, number>;
}
const rows: Row[] = [];

function report(scenario: string, peer: string, figures: Record<string, number>): void {
  rows.push({ scenario, peer, figures });
  if (values.json) return;
  const shown = Object.entries(figures).map(
    ([name, value]) => `${name} ${Number(value.toPrecision(4))}`,
  );
  console.log(`${scenario.padEnd(22)} ${peer.padEnd(13)} ${shown.join('  ')}`);
}

interface Peers extends AsyncDisposable {
  readonly corral: CorralServerPeer;
  readonly llama: LlamaServerPeer | null;
  readonly targets: readonly HttpTarget[];
}

const home = await mkdtemp(join(tmpdir(), 'corral-bench-'));

async function startPeers(context: number, streams: number): Promise<Peers> {
  const corral = await startCorralServer({
    home,
    model: model as string,
    context,
    streams,
    threads,
  });
  const binary = values['llama-server'];
  const llama =
    binary === ''
      ? null
      : await startLlamaServer({
          binary,
          model: model as string,
          adapters: [],
          streams,
          context,
          threads,
        });
  const peer: HttpTarget[] = llama
    ? [{ name: 'llama-server', url: llama.url, model: '', apiKey: '', extra: {} }]
    : [];
  const targets = [corral.target, ...peer];
  // Loads the model, compiles the code.
  for (const target of targets)
    await httpStream(target, { prompt: promptOf(99, 16), max_tokens: 16 });
  return {
    corral,
    llama,
    targets,
    [Symbol.asyncDispose]: async () => {
      await corral[Symbol.asyncDispose]();
      await llama?.[Symbol.asyncDispose]();
    },
  };
}

/** Runs the work on each target by turns; the median of each figure. */
async function compare(
  scenario: string,
  targets: readonly HttpTarget[],
  work: (target: HttpTarget, round: number) => Promise<Record<string, number>>,
): Promise<void> {
  const found = new Map<string, Record<string, number>[]>();
  for (let round = 0; round < rounds; round++)
    for (const target of round % 2 === 0 ? targets : targets.toReversed()) {
      const list = found.get(target.name) ?? [];
      list.push(await work(target, round));
      found.set(target.name, list);
    }
  const medians = [...found].map(([peer, list]): [string, Record<string, number>] => [
    peer,
    Object.fromEntries(
      Object.keys(list[0] ?? {}).map((key) => [
        key,
        median(list.map((figures) => figures[key] ?? 0)),
      ]),
    ),
  ]);
  for (const [peer, figures] of medians) report(scenario, peer, figures);
  const [[, ours] = ['', {}], [, theirs] = ['', null]] = medians;
  if (!theirs) return;
  const keys = Object.keys(ours).filter((key) => (theirs[key] ?? 0) > 0);
  report(
    scenario,
    'ours / theirs',
    Object.fromEntries(keys.map((key) => [key, (ours[key] ?? 0) / (theirs[key] ?? 1)])),
  );
}

const gaps = ({ times }: HttpStream) => times.slice(1).map((time, i) => time - (times[i] ?? 0));
const firstOf = ({ start, times }: HttpStream): number => (times[0] ?? start) - start;

function figuresOf(streams: readonly HttpStream[]): Record<string, number> {
  const start = Math.min(...streams.map((stream) => stream.start));
  const end = Math.max(...streams.map(({ times }) => times.at(-1) ?? start));
  const tokens = streams.reduce((sum, { completionTokens }) => sum + completionTokens, 0);
  const firsts = streams.map(firstOf);
  return {
    'tok/s': (tokens * 1000) / (end - start),
    'ttft p50 ms': median(firsts),
    'ttft p95 ms': quantile(firsts, 0.95),
    'gap p95 ms': quantile(streams.flatMap(gaps), 0.95),
    tokens,
  };
}

let seeds = 0;
/** Text, as clients send it: Corral's policy would have to spell out token ids first. */
const randomPrompt = () => ({
  prompt: wordsOf(1000 + seeds++, Number(values.words)),
  ignore_eos: true,
});
/** llama-server takes `ignore_eos` beside OpenAI's fields, Corral under its own key. */
const bodyFor = (target: HttpTarget, body: Record<string, unknown>): Record<string, unknown> => {
  const { ignore_eos, ...own } = body;
  return target.name === 'corral' && ignore_eos === true
    ? { ...own, corral: { ignore_eos } }
    : body;
};

async function measureStreams(): Promise<void> {
  for (const streams of counts) {
    await using peers = await startPeers(256, streams);
    await compare(`${streams} streams`, peers.targets, async (target) => {
      const before = peers.corral.usage();
      const all = await Promise.all(
        Array.from({ length: streams }, () =>
          httpStream(target, bodyFor(target, { ...randomPrompt(), max_tokens: newTokens })),
        ),
      );
      const figures = figuresOf(all);
      if (target.name !== 'corral') return figures;
      const after = peers.corral.usage();
      const spent = after.server.processorMs - before.server.processorMs;
      return { ...figures, 'server µs/tok': (spent * 1000) / (figures['tokens'] ?? 1) };
    });
    const { server, engine } = peers.corral.usage();
    report(`${streams} streams`, 'memory MB', {
      server: server.memory / 1e6,
      engine: engine.memory / 1e6,
      ...(peers.llama ? { 'llama-server': processUsage(peers.llama.pid).memory / 1e6 } : {}),
    });
  }
}

/** Of a step outside the decode, in the engine child alone. */
async function measureOverhead(): Promise<void> {
  for (const streams of counts) {
    await using peer = await startEnginePeer({
      name: 'engine',
      model: model as string,
      options: { n_ctx: 256, n_seq_max: streams, n_threads: threads },
    });
    const overhead = async (): Promise<number> => {
      const { value } = (await peer.call({ type: 'status' })) as { value: { overhead_ms: number } };
      return value.overhead_ms;
    };
    const run = () =>
      Promise.all(
        Array.from({ length: streams }, () =>
          peer.stream({ promptTokens: promptOf(seeds++, 64), tokens: newTokens, adapter: null }),
        ),
      );
    await run();
    const before = await overhead();
    await run();
    const spent = (await overhead()) - before;
    report(`${streams} streams`, 'engine', {
      'µs/tok outside decode': (spent * 1000) / (streams * newTokens),
    });
  }
}

async function measurePrefix(): Promise<void> {
  await using peers = await startPeers(1536, 4);
  await compare('prefix of 1000', peers.targets, async (target, round) => {
    const ask = (question: string): Promise<HttpStream> =>
      httpStream(target, {
        messages: [
          { role: 'system', content: sharedPrompt(round) },
          { role: 'user', content: question },
        ],
        max_tokens: 24,
      });
    const cold = await ask('Who are you?');
    const hits = [];
    for (const question of ['What is the capital of France?', 'Name three colours.', 'Why?'])
      hits.push(await ask(question));
    const hit = median(hits.map(firstOf));
    return {
      'cold ttft ms': firstOf(cold),
      'hit ttft ms': hit,
      'cold / hit': firstOf(cold) / hit,
      'cached tokens': median(hits.map(({ cachedTokens }) => cachedTokens)),
    };
  });
}

async function measureSpeculation(): Promise<void> {
  await using peers = await startPeers(2048, 1);
  for (const [name, tasks] of [
    ['copy-heavy', copyTasks],
    ['story', storyTasks],
  ] as const)
    await compare(name, peers.targets, async (target, round) => {
      let tokens = 0;
      let ms = 0;
      for (const content of tasks) {
        const messages = [{ role: 'user', content: `${content}\n\n(${round})` }];
        const { times, completionTokens } = await httpStream(target, {
          messages,
          max_tokens: newTokens,
        });
        tokens += completionTokens - 1;
        ms += (times.at(-1) ?? 0) - (times[0] ?? 0);
      }
      return { 'tok/s': (tokens * 1000) / ms, tokens };
    });
}

async function measureLongPrompt(): Promise<void> {
  const streams = values.quick ? 2 : 8;
  await using peers = await startPeers(4608, streams + 1);
  await compare(`4k prompt, ${streams} streams`, peers.targets, async (target, round) => {
    const all: number[][] = Array.from({ length: streams }, () => []);
    let running = 0;
    const started = Promise.withResolvers<void>();
    const streaming = all.map((times) => {
      const first = (): void => {
        if (times.length === 0 && ++running === streams) started.resolve();
        times.push(performance.now());
      };
      return httpStream(
        target,
        bodyFor(target, { ...randomPrompt(), max_tokens: values.quick ? 60 : 400 }),
        first,
      );
    });
    await started.promise;
    const before = performance.now();
    await new Promise((resolve) => setTimeout(resolve, values.quick ? 500 : 4000));
    const entered = performance.now();
    const long = await httpStream(
      target,
      bodyFor(target, { prompt: longPrompt(round), max_tokens: 4, ignore_eos: true }),
    );
    const done = performance.now();
    await Promise.all(streaming);
    const gapsIn = (from: number, to: number): number[] =>
      all.flatMap((times) =>
        times
          .slice(1)
          .map((time, i) => [time, time - (times[i] as number)] as const)
          .filter(([time]) => time > from && time <= to)
          .map(([, gap]) => gap),
      );
    const without = quantile(gapsIn(before, entered), 0.95);
    const during = quantile(gapsIn(entered, done), 0.95);
    return {
      'gap p95 without': without,
      'gap p95 during': during,
      'during / without': during / without,
      'long ttft ms': firstOf(long),
    };
  });
}

async function measureOptions(): Promise<void> {
  const streams = 8;
  await using peers = await startPeers(512, streams);
  const schema = {
    type: 'object',
    properties: { name: { type: 'string' }, tags: { type: 'array', items: { type: 'string' } } },
    required: ['name', 'tags'],
    additionalProperties: false,
  };
  const cases: Record<string, Record<string, unknown>> = {
    plain: {},
    'logprobs 5': { logprobs: true, top_logprobs: 5 },
    json_schema: {
      response_format: { type: 'json_schema', json_schema: { name: 'x', strict: true, schema } },
    },
  };
  for (const [name, extra] of Object.entries(cases))
    await compare(name, peers.targets, async (target, round) => {
      const all = await Promise.all(
        Array.from({ length: streams }, (_, i) =>
          httpStream(target, {
            messages: [
              { role: 'user', content: `Describe animal number ${i + round * 8} at length.` },
            ],
            max_tokens: newTokens,
            ...extra,
          }),
        ),
      );
      const { 'tok/s': rate = 0, tokens = 0 } = figuresOf(all);
      return { 'tok/s': rate, tokens };
    });
}

async function measureLoad(): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    const corral = await startCorralServer({
      home,
      model: model as string,
      context: 512,
      streams: 4,
      threads,
    });
    const ours = await httpStream(corral.target, { prompt: promptOf(round, 16), max_tokens: 2 });
    await corral[Symbol.asyncDispose]();
    const figures: Record<string, number> = { 'corral ms': firstOf(ours) };
    if (values['llama-server'] !== '') {
      const start = performance.now();
      await using llama = await startLlamaServer({
        binary: values['llama-server'],
        model: model as string,
        adapters: [],
        streams: 4,
        context: 512,
        threads,
      });
      const target = { name: 'llama-server', url: llama.url, model: '', apiKey: '', extra: {} };
      await httpStream(target, { prompt: promptOf(round, 16), max_tokens: 2 });
      figures['llama-server ms'] = performance.now() - start;
    }
    report('load to first token', `round ${round}`, figures);
  }
}

const scenarios: Record<string, () => Promise<void>> = {
  load: measureLoad,
  streams: async () => {
    await measureStreams();
    await measureOverhead();
  },
  prefix: measurePrefix,
  speculation: measureSpeculation,
  long: measureLongPrompt,
  options: measureOptions,
};

try {
  for (const name of values.scenarios.split(',')) {
    const scenario = scenarios[name];
    if (!scenario) throw new Error(`there is no scenario "${name}"`);
    await scenario();
  }
} finally {
  await rm(home, { recursive: true, force: true });
}
if (values.json) console.log(JSON.stringify(rows));
