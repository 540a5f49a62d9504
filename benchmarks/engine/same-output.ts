// Does the same request give the same answer however it is served? Each prompt is asked cold and alone, which
// is the reference, and then in other ways; counts equal texts and equal log-probabilities, bit by bit:
//   node benchmarks/engine/same-output.ts MODEL.gguf [--prompts 200] [--tokens 16] [--threads 1] [--streams 8]
//     [--ways hit,batch] [--json]
// Ways: again (cold once more), hit (found in the prefix cache after related prompts), seeded (the same at
// temperature 1), restart (found on disk by another process), batch (side by side), speculation. Needs no peer.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startEngineChild } from './support/engine-peer.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    prompts: { type: 'string', default: '200' },
    tokens: { type: 'string', default: '16' },
    threads: { type: 'string', default: '1' },
    streams: { type: 'string', default: '8' },
    ways: { type: 'string', default: 'again,hit,seeded,restart,batch,speculation' },
    json: { type: 'boolean', default: false },
  },
});
const [model] = positionals;
if (model === undefined) {
  console.error('usage: same-output.ts MODEL.gguf [--prompts 200] [--tokens 16] [--threads 1]');
  process.exit(2);
}

const words =
  'river stone cloud happy green window seven paper orange table quick music father letter ocean copper'.split(
    ' ',
  );
let state = 7;
/** Whole numbers from 0 to `below` - 1 (mulberry32). */
function random(below: number): number {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) % below;
}
const text = (count: number): string =>
  Array.from({ length: count }, () => words[random(words.length)]).join(' ');

interface Message {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

/** Prompts that share beginnings of all lengths: system prompts, conversations, copies. */
function makePrompts(count: number): Message[][] {
  const systems = [3, 12, 30, 48, 60, 90, 130, 180, 250, 330].map((length) => text(length));
  const prompts: Message[][] = [];
  for (let i = 0; i < count; i++) {
    const user: Message = { role: 'user', content: text(1 + random(90)) };
    const system: Message = { role: 'system', content: systems[random(systems.length)] ?? '' };
    const before = prompts[random(Math.max(1, prompts.length))];
    if (i % 4 === 0) prompts.push([user]);
    else if (i % 4 === 3 && before && before.length < 5)
      prompts.push([...before, { role: 'assistant', content: text(20) }, user]);
    else if (i % 8 === 5)
      prompts.push([system, { role: 'user', content: `Copy: ${'a = b + c; '.repeat(8)}` }]);
    else prompts.push([system, user]);
  }
  return prompts;
}

interface Answer {
  readonly text: string;
  readonly logprobs: readonly number[];
  readonly cached: number;
}

type Engine = Awaited<ReturnType<typeof startEngine>>;

async function startEngine(options: object) {
  const { child, ask } = startEngineChild();
  await ask(
    {
      type: 'load',
      model_path: model,
      options: {
        n_ctx: 2048,
        n_seq_max: Number(values.streams),
        n_threads: Number(values.threads),
        prefix_cache_bytes: 0,
        speculation: 'off',
        ...options,
      },
    },
    (message) => (message.type === 'ready' ? true : undefined),
  );
  const generate = (messages: readonly Message[], changes: object = {}): Promise<Answer> => {
    let answer = '';
    const logprobs: number[] = [];
    const request = {
      type: 'generate',
      tenant: 'bench',
      prompt: { kind: 'messages', messages },
      sampling: { temperature: 0 },
      max_tokens: Number(values.tokens),
      ignore_eos: true,
      top_logprobs: 0,
      ...changes,
    };
    return ask(request, (message) => {
      if (message.type !== 'tokens') return undefined;
      const [event] = message.events;
      answer += event?.text ?? '';
      for (const { logprob } of event?.logprobs ?? []) logprobs.push(logprob);
      if (!event?.finish) return undefined;
      return { text: answer, logprobs, cached: event.finish.cached_tokens };
    });
  };
  const call = (request: Record<string, unknown>): Promise<unknown> =>
    ask(request, (message) => (message.type === 'result' ? { value: message.value } : undefined));
  return { generate, call, end: () => child.kill() };
}

const prompts = makePrompts(Number(values.prompts));
const seeded = { sampling: { temperature: 1, seed: 11 } };

async function oneByOne(engine: Engine, changes: object = {}): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (const prompt of prompts) answers.push(await engine.generate(prompt, changes));
  return answers;
}

async function cold(changes: object = {}): Promise<Answer[]> {
  const engine = await startEngine({});
  const answers = await oneByOne(engine, changes);
  engine.end();
  return answers;
}

const cache = { prefix_cache_bytes: 2 ** 28 };

async function hit(changes: object = {}): Promise<Answer[]> {
  const engine = await startEngine(cache);
  const answers = await oneByOne(engine, changes);
  engine.end();
  return answers;
}

async function restart(): Promise<Answer[]> {
  const folder = await mkdtemp(join(tmpdir(), 'corral-same-output-'));
  try {
    const options = { ...cache, prefix_cache_folder: folder };
    const first = await startEngine(options);
    // Every other prompt, asked for something else: what they share is found by all.
    for (const [i, prompt] of prompts.entries())
      if (i % 2 === 0) await first.generate(prompt, { max_tokens: 1 });
    await first.call({ type: 'shutdown' });
    first.end();
    const second = await startEngine(options);
    const answers = await oneByOne(second);
    second.end();
    return answers;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function batch(): Promise<Answer[]> {
  const engine = await startEngine({});
  const answers = await Promise.all(prompts.map((prompt) => engine.generate(prompt)));
  engine.end();
  return answers;
}

async function speculation(): Promise<Answer[]> {
  const engine = await startEngine({ speculation: 'auto' });
  const answers = await oneByOne(engine);
  const { value } = (await engine.call({ type: 'status' })) as {
    value: { speculation: { drafted: number; accepted: number } };
  };
  if (!values.json) console.log('guessed', value.speculation);
  engine.end();
  return answers;
}

const ways: Readonly<Record<string, () => Promise<Answer[]>>> = {
  again: () => cold(),
  hit: () => hit(),
  seeded: () => hit(seeded),
  restart,
  batch,
  speculation,
};

const table: Record<string, string | number>[] = [];
const reference = await cold();
for (const way of values.ways.split(',')) {
  const run = ways[way];
  if (!run) throw new Error(`there is no way "${way}"`);
  const expected = way === 'seeded' ? await cold(seeded) : reference;
  const found = await run();
  const distances = found.map(({ logprobs }, i) =>
    Math.max(...logprobs.map((value, j) => Math.abs(value - (expected[i]?.logprobs[j] ?? NaN)))),
  );
  table.push({
    way,
    prompts: prompts.length,
    'equal texts': found.filter((answer, i) => answer.text === expected[i]?.text).length,
    'equal numbers': distances.filter((distance) => distance === 0).length,
    'largest difference of equal texts': Math.max(
      ...distances.filter((_, i) => found[i]?.text === expected[i]?.text),
    ),
    'found in the cache': found.filter(({ cached }) => cached > 0).length,
    'tokens found': found.reduce((sum, { cached }) => sum + cached, 0),
  });
  if (!values.json) console.log(JSON.stringify(table.at(-1)));
}
if (values.json) console.log(JSON.stringify(table));
else console.table(table);
