// Tokens a second of the engine child over IPC, for one stream and for several:
//   node benchmarks/engine/tokens-per-second.ts MODEL.gguf [--streams 1,8] [--tokens 128] [--threads N]
// Prints prompt and generation rates (median of the rounds), time to the first token, and the child's
// processor time for each token, which other programs on the machine disturb less than the clock.
import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { EngineMessage } from '@corral/contracts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    streams: { type: 'string', default: '1,8' },
    tokens: { type: 'string', default: '128' },
    threads: { type: 'string', default: '0' },
    rounds: { type: 'string', default: '3' },
    prompt: { type: 'string', default: '64' },
  },
});
const [model] = positionals;
if (model === undefined) {
  console.error('usage: tokens-per-second.ts MODEL.gguf [--streams 1,8] [--tokens 128]');
  process.exit(2);
}

const child = fork(fileURLToPath(import.meta.resolve('@corral/engine/worker')), [], {
  execPath: process.execPath,
  execArgv: [],
});
const listeners = new Set<(message: EngineMessage) => void>();
child.on('message', (message) => {
  for (const listener of listeners) listener(message as EngineMessage);
});

/** Sends a request and waits for the message that `done` accepts. */
function ask<T>(
  request: { id: string },
  done: (message: EngineMessage) => T | undefined,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const listener = (message: EngineMessage): void => {
      const failed = message.type === 'error' && message.id === request.id;
      const found = failed ? undefined : done(message);
      if (!failed && found === undefined) return;
      listeners.delete(listener);
      if (failed) reject(new Error(JSON.stringify(message)));
      else resolve(found as T);
    };
    listeners.add(listener);
    child.send(request);
  });
}

/** User and system time of the child in seconds (Linux; ticks of 10 ms). */
function processorSeconds(): number {
  const text = readFileSync(`/proc/${child.pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

let ids = 0;
/** One greedy stream of `count` tokens; resolves with the times of its first and last token. */
async function stream(
  count: number,
  promptTokens: number,
): Promise<{ first: number; last: number }> {
  const id = `g${ids++}`;
  // Words by number, so that no two prompts are equal.
  const tokens = Array.from(
    { length: promptTokens },
    (_, i) => 1000 + ((ids * 7919 + i * 131) % 20_000),
  );
  const request = {
    type: 'generate',
    id,
    tenant: 'bench',
    prompt: { kind: 'tokens', tokens },
    sampling: { temperature: 0 },
    max_tokens: count,
    ignore_eos: true,
  };
  let first = 0;
  const last = await ask(request, (message) => {
    if (message.type !== 'tokens') return undefined;
    const event = message.events.find((candidate) => candidate.id === id);
    if (!event) return undefined;
    if (first === 0) first = performance.now();
    return event.finish ? performance.now() : undefined;
  });
  return { first, last };
}

const median = (list: number[]): number => list.toSorted((a, b) => a - b)[list.length >> 1] ?? 0;

async function measure(streams: number, tokens: number, promptTokens: number) {
  const start = performance.now();
  const cpu = processorSeconds();
  const all = await Promise.all(
    Array.from({ length: streams }, () => stream(tokens, promptTokens)),
  );
  const end = Math.max(...all.map(({ last }) => last));
  const firsts = all.map(({ first }) => first);
  const generating = end - Math.max(...firsts);
  return {
    promptRate: (streams * promptTokens * 1000) / (Math.max(...firsts) - start),
    rate: (streams * (tokens - 1) * 1000) / generating,
    firstMs: median(firsts) - start,
    cpuMs: ((processorSeconds() - cpu) * 1000) / (streams * tokens),
  };
}

const counts = values.streams.split(',').map(Number);
await ask(
  {
    type: 'load',
    id: 'load',
    model_path: model,
    options: {
      n_ctx: Number(values.prompt) + Number(values.tokens) + 8,
      n_seq_max: Math.max(...counts),
      n_threads: Number(values.threads),
    },
  } as { id: string },
  (message) => (message.type === 'ready' ? message : undefined),
);
await stream(8, 8);
for (const streams of counts) {
  const rounds: Awaited<ReturnType<typeof measure>>[] = [];
  for (let round = 0; round < Number(values.rounds); round++)
    rounds.push(await measure(streams, Number(values.tokens), Number(values.prompt)));
  const of = (key: keyof (typeof rounds)[number]): string =>
    median(rounds.map((round) => round[key])).toFixed(1);
  console.log(
    `${streams} streams: ${of('rate')} tok/s generated, ${of('promptRate')} tok/s of prompt, ` +
      `first token after ${of('firstMs')} ms, ${of('cpuMs')} ms of processor a token`,
  );
}
child.kill();
