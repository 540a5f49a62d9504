// Embeddings by the engine child: texts a second, whether a text's vector depends on its neighbours, and how
// far it is from llama-server's (pooling `mean`, same model file and threads):
//   LLAMA_SERVER=…/llama-server node benchmarks/engine/embeddings.ts MODEL.gguf [--threads 1] [--rounds 3] [--json]
// Without LLAMA_SERVER the last columns are left out.
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';
import { processUsage, startEngineChild } from './support/engine-peer.ts';
import { median } from './support/streams.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    threads: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
});
const [model] = positionals;
if (model === undefined) {
  console.error('usage: embeddings.ts MODEL.gguf [--threads 1] [--rounds 3] [--json]');
  process.exit(2);
}

const sentence =
  'The harbour opens at six every morning and the captain checks the weather board before any boat leaves ';
const words = sentence.repeat(20).split(' ');
const texts = (count: number, from: number, to: number): string[] =>
  Array.from({ length: count }, (_, i) =>
    words.slice(i, i + from + ((i * 7) % (to - from))).join(' '),
  );
/** Words of the texts of a request. */
const requests: Readonly<Record<string, readonly string[]>> = {
  '64 questions (5–25 words)': texts(64, 5, 25),
  '24 paragraphs (40–110 words)': texts(24, 40, 110),
  '12 pages (200–300 words)': texts(12, 200, 300),
};

const { child, ask } = startEngineChild();
await ask(
  {
    type: 'load',
    model_path: model,
    options: { n_ctx: 1024, n_seq_max: 8, n_threads: Number(values.threads) },
  },
  (message) => (message.type === 'ready' ? true : undefined),
);

async function embed(inputs: readonly string[]): Promise<Float32Array[]> {
  const request = {
    type: 'embed',
    tenant: 'bench',
    pooling: 'mean',
    prompts: inputs.map((text) => ({ kind: 'text', text })),
  };
  const { embeddings } = await ask(request, (message) =>
    message.type === 'result' ? (message.value as { embeddings: string[] }) : undefined,
  );
  return embeddings.map((encoded) => {
    const bytes = Buffer.from(encoded, 'base64');
    return Float32Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
  });
}

const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - (b[i] ?? NaN))), 0);

const cosine = (a: Float32Array, b: readonly number[]): number =>
  a.reduce((sum, value, i) => sum + value * (b[i] ?? NaN), 0) /
  (Math.hypot(...a) * Math.hypot(...b));

/** llama-server's vectors, one text a request; null where there is no server. */
async function fromLlamaServer(inputs: readonly string[]): Promise<number[][] | null> {
  const binary = process.env['LLAMA_SERVER'];
  if (binary === undefined) return null;
  const port = 18_431;
  const common = ['-m', String(model), '--port', String(port), '-t', values.threads];
  const server = spawn(binary, [...common, '--embeddings', '--pooling', 'mean', '-c', '1024'], {
    stdio: 'ignore',
  });
  try {
    const address = `http://127.0.0.1:${port}`;
    for (let i = 0; i < 300; i++) {
      const ready = await fetch(`${address}/health`).catch(() => null);
      if (ready?.ok) break;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    const vectors: number[][] = [];
    for (const input of inputs) {
      const answer = await fetch(`${address}/v1/embeddings`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ input }),
      });
      const { data } = (await answer.json()) as { data: { embedding: number[] }[] };
      vectors.push(data[0]?.embedding ?? []);
    }
    return vectors;
  } finally {
    server.kill();
  }
}

const table: Record<string, string | number>[] = [];
for (const [name, inputs] of Object.entries(requests)) {
  const seconds: number[] = [];
  const processor: number[] = [];
  let together: Float32Array[] = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    const before = processUsage(child.pid).processorMs;
    const start = performance.now();
    together = await embed(inputs);
    seconds.push((performance.now() - start) / 1000);
    processor.push(processUsage(child.pid).processorMs - before);
  }
  const alone: Float32Array[] = [];
  for (const input of inputs) alone.push(...(await embed([input])));
  const peer = await fromLlamaServer(inputs);
  const farthest = (others: readonly ArrayLike<number>[]): number =>
    Math.max(...together.map((vector, i) => distance(vector, others[i] ?? [])));
  table.push({
    texts: name,
    'texts/s': Number((inputs.length / median(seconds)).toFixed(1)),
    'processor ms/text': Number((median(processor) / inputs.length).toFixed(2)),
    'farthest from alone': farthest(alone),
    ...(peer && {
      'farthest from llama-server': farthest(peer),
      'least cosine': Math.min(...together.map((vector, i) => cosine(vector, peer[i] ?? []))),
    }),
  });
}
if (values.json) console.log(JSON.stringify(table));
else console.table(table);
child.kill();
