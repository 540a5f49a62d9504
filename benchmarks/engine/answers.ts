// What answers in a format, log-probabilities and the samplers cost, against plain greedy text of the same
// engine child, the modes taking turns:
//   node benchmarks/engine/answers.ts MODEL.gguf [--streams 1,8] [--tokens 96] [--threads 1] [--rounds 5] [--json]
// Tokens a second from the first token on and processor time for each token (median of the rounds), and the
// ratio of both to plain text. Needs no peer: the engine is its own.
import { parseArgs } from 'node:util';
import { processUsage, startEngineChild } from './support/engine-peer.ts';
import { median } from './support/streams.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    streams: { type: 'string', default: '1,8' },
    tokens: { type: 'string', default: '96' },
    threads: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
  },
});
const [model] = positionals;
if (model === undefined) {
  console.error('usage: answers.ts MODEL.gguf [--streams 1,8] [--tokens 96] [--threads 1]');
  process.exit(2);
}

// Long enough that no answer ends before the last token that is asked for.
const people = {
  type: 'array',
  minItems: 40,
  items: {
    type: 'object',
    properties: {
      name: { type: 'string', maxLength: 30 },
      age: { type: 'integer', minimum: 0, maximum: 120 },
      city: { type: 'string', maxLength: 30 },
      email: { type: 'string', format: 'email' },
    },
    required: ['name', 'age', 'city', 'email'],
    additionalProperties: false,
  },
};
const modes: Readonly<Record<string, object>> = {
  plain: {},
  json_schema: { response_format: { type: 'json_schema', schema: people } },
  'json_schema, temperature 1': {
    response_format: { type: 'json_schema', schema: people },
    sampling: { temperature: 1, seed: 1 },
  },
  json_object: { response_format: { type: 'json_object' } },
  'logprobs, top 5': { top_logprobs: 5 },
  'temperature 1': { sampling: { temperature: 1, seed: 1 } },
  'temperature 1, top_p 0.9': { sampling: { temperature: 1, top_p: 0.9, seed: 1 } },
  'temperature 1, typical 0.9': { sampling: { temperature: 1, typical_p: 0.9, seed: 1 } },
  penalties: { sampling: { temperature: 0, repetition_penalty: 1.1, frequency_penalty: 0.2 } },
};

const { child, ask } = startEngineChild();

interface Generated {
  readonly tokens: number;
  readonly first: number;
  readonly last: number;
}

function generate(changes: object, maxTokens: number): Promise<Generated> {
  let tokens = 0;
  let first = 0;
  const content = 'Invent people. Answer with a JSON list of name, age, city and email.';
  const request = {
    type: 'generate',
    tenant: 'bench',
    prompt: { kind: 'messages', messages: [{ role: 'user', content }] },
    sampling: { temperature: 0 },
    max_tokens: maxTokens,
    ignore_eos: true,
    cache_prompt: false,
    ...changes,
  };
  return ask(request, (message) => {
    if (message.type !== 'tokens') return undefined;
    const [event] = message.events;
    const now = performance.now();
    if (first === 0) first = now;
    tokens += event?.tokens.length ?? 0;
    return event?.finish ? { tokens, first, last: now } : undefined;
  });
}

async function measure(changes: object, streams: number): Promise<{ rate: number; cpu: number }> {
  const before = processUsage(child.pid).processorMs;
  const all = await Promise.all(
    Array.from({ length: streams }, () => generate(changes, Number(values.tokens))),
  );
  const tokens = all.reduce((sum, one) => sum + one.tokens, 0);
  const first = Math.max(...all.map((one) => one.first));
  const last = Math.max(...all.map((one) => one.last));
  return {
    rate: ((tokens - streams) * 1000) / (last - first),
    cpu: (processUsage(child.pid).processorMs - before) / tokens,
  };
}

// Speculation would make a difference of its own between the modes.
const options = {
  n_ctx: 1024,
  n_seq_max: 32,
  n_threads: Number(values.threads),
  speculation: 'off',
};
await ask({ type: 'load', model_path: model, options }, (message) =>
  message.type === 'ready' ? message.model : undefined,
);
const table: Record<string, string | number>[] = [];
for (const streams of values.streams.split(',').map(Number)) {
  const found = new Map<string, { rate: number; cpu: number }[]>();
  // The first round makes grammars and masks, and is not counted.
  for (let round = 0; round <= Number(values.rounds); round++)
    for (const [mode, changes] of Object.entries(modes)) {
      const one = await measure(changes, streams);
      if (round > 0) found.set(mode, [...(found.get(mode) ?? []), one]);
    }
  const of = (mode: string, key: 'rate' | 'cpu'): number =>
    median((found.get(mode) ?? []).map((one) => one[key]));
  for (const mode of Object.keys(modes))
    table.push({
      streams,
      mode,
      'tokens/s': Number(of(mode, 'rate').toFixed(1)),
      'of plain': Number((of(mode, 'rate') / of('plain', 'rate')).toFixed(3)),
      'processor ms/token': Number(of(mode, 'cpu').toFixed(2)),
      'processor of plain': Number((of(mode, 'cpu') / of('plain', 'cpu')).toFixed(3)),
    });
}
if (values.json) console.log(JSON.stringify(table));
else console.table(table);
child.kill();
