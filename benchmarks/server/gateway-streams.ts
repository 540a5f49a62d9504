// Processor time that the server spends on each streamed token, from the engine's message to the socket:
//   node benchmarks/server/gateway-streams.ts [--streams 32] [--tokens 400] [--rounds 3] [--logprobs] [--profile]
// The server runs in a process of its own with a scripted engine (steady-engine.ts) and the default policy;
// this process is the client. Prints µs of the server's processor time a token, the least of the rounds:
// other programs on the machine can only add to it. `--json` prints the figures instead.
import { fork } from 'node:child_process';
import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createServingApp } from '../../packages/server/src/testing/create-serving-app.fake.ts';
import { createDefaultPolicy } from '../../packages/server/src/features/gateway/default-policy.ts';

const { values } = parseArgs({
  options: {
    serve: { type: 'boolean', default: false },
    streams: { type: 'string', default: '32' },
    tokens: { type: 'string', default: '400' },
    rounds: { type: 'string', default: '3' },
    logprobs: { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});

interface Ready {
  readonly port: number;
  readonly key: string;
}

/** The measured process: a server, and its processor time on request. */
async function serve(): Promise<void> {
  const server = await createServingApp({
    policy: createDefaultPolicy(),
    engine: { workerUrl: new URL('steady-engine.ts', import.meta.url), maxWaiting: 1000 },
    config: { limits: { requests_per_key: 1000 } },
  });
  await server.addBase('steady');
  await server.app.listen({ port: 0, host: '127.0.0.1' });
  const { port } = server.app.server.address() as AddressInfo;
  process.on('message', (message) => {
    if (message === 'cpu') process.send?.(process.cpuUsage());
    else void server.close().then(() => process.exit(0));
  });
  process.send?.({ port, key: server.adminKey } satisfies Ready);
}

/** Reads one stream to its end; the number of its chunks. */
function readStream({ port, key }: Ready, tokens: number): Promise<number> {
  const body = JSON.stringify({
    model: 'steady',
    messages: [{ role: 'user', content: 'When does the boat leave?' }],
    max_tokens: tokens,
    stream: true,
    ...(values.logprobs ? { logprobs: true, top_logprobs: 5 } : {}),
  });
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  return new Promise((resolve, reject) => {
    const path = '/v1/chat/completions';
    const outgoing = request({ port, method: 'POST', path, headers, agent: false }, (answer) => {
      let chunks = 0;
      answer.on('data', (data: Buffer) => {
        for (let at = data.indexOf('data: '); at >= 0; at = data.indexOf('data: ', at + 6)) {
          chunks += 1;
        }
      });
      answer.on('end', () => resolve(chunks));
      answer.on('error', reject);
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

async function measure(): Promise<void> {
  const [streams, tokens, rounds] = [values.streams, values.tokens, values.rounds].map(Number);
  const child = fork(fileURLToPath(import.meta.url), ['--serve'], {
    execArgv: values.profile ? ['--cpu-prof', '--cpu-prof-dir', process.cwd()] : [],
  });
  const next = <T>(): Promise<T> =>
    new Promise((resolve) => child.once('message', (message) => resolve(message as T)));
  const ready = await next<Ready>();
  const cpu = async (): Promise<number> => {
    const answer = next<NodeJS.CpuUsage>();
    child.send('cpu');
    const { user, system } = await answer;
    return user + system;
  };
  const readAll = async (count = 0, length = 1): Promise<number> => {
    const all = Array.from({ length: count }, () => readStream(ready, length));
    return (await Promise.all(all)).reduce((sum, chunks) => sum + chunks, 0);
  };
  await readAll(streams, 100); // Warm: code compiled, connections known.
  const figures: { cpuMicrosPerToken: number; tokensPerSecond: number; chunks: number }[] = [];
  for (let round = 0; round < (rounds ?? 1); round++) {
    const [before, since] = [await cpu(), performance.now()];
    const chunks = await readAll(streams, tokens);
    const total = (streams ?? 1) * (tokens ?? 1);
    const seconds = (performance.now() - since) / 1000;
    const spent = (await cpu()) - before;
    figures.push({ cpuMicrosPerToken: spent / total, tokensPerSecond: total / seconds, chunks });
  }
  child.send('end');
  await new Promise((resolve) => child.once('exit', resolve));
  const best = figures.toSorted((a, b) => a.cpuMicrosPerToken - b.cpuMicrosPerToken)[0];
  if (values.json) console.log(JSON.stringify({ streams, tokens, best, rounds: figures }));
  else {
    console.log(`${streams} streams of ${tokens} tokens${values.logprobs ? ', 5 logprobs' : ''}`);
    for (const { cpuMicrosPerToken, tokensPerSecond, chunks } of figures) {
      const micros = cpuMicrosPerToken.toFixed(1);
      console.log(`${micros} µs a token, ${tokensPerSecond.toFixed(0)} tok/s, ${chunks} events`);
    }
  }
}

await (values.serve ? serve() : measure());
