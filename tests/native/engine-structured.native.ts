// Answers held to a grammar through real vocabularies of both kinds, with random weights: JSON of the schema,
// calls of tools, and the same draw for the same seed, alone and in a batch.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GenerationEvent } from '@corral/contracts';
import {
  startEngine,
  temporaryFolder,
  writeTinyModel,
  type TestEngine,
} from './engine-fixtures.ts';

const schema = {
  type: 'object',
  properties: {
    name: { type: 'string', minLength: 1, maxLength: 6 },
    born: { type: 'string', format: 'date' },
    level: { enum: ['low', 'high', null] },
    scores: { type: 'array', items: { type: 'integer', minimum: -5, maximum: 120 }, maxItems: 3 },
  },
  required: ['name', 'born', 'level', 'scores'],
  additionalProperties: false,
};
const response_format = { type: 'json_schema' as const, schema };
const tools = [
  {
    name: 'add',
    parameters: {
      type: 'object',
      properties: { a: { type: 'integer', minimum: 0, maximum: 9 }, b: { type: 'boolean' } },
      required: ['a', 'b'],
      additionalProperties: false,
    },
  },
];
/** Short: nearly every byte is a token here. */
const template =
  '{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}' +
  `{{ '<tool_call>{"name": "' + c.function.name + '", "arguments": ' + c.function.arguments | tojson + '}</tool_call>' }}{% endfor %}{% endfor %}`;

interface Record_ {
  name: string;
  born: string;
  level: string | null;
  scores: number[];
}

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
const engines = new Map<string, TestEngine>();
const engineOf = (kind: string): TestEngine => {
  const engine = engines.get(kind);
  if (!engine) throw new Error(kind);
  return engine;
};

beforeAll(async () => {
  folder = await temporaryFolder();
  for (const vocabulary of ['byte-pair', 'sentencepiece'] as const) {
    const path = folder.path(`${vocabulary}.gguf`);
    await writeTinyModel(path, { vocabulary });
    engines.set(
      vocabulary,
      await startEngine(path, { n_ctx: 512, n_seq_max: 8, n_batch: 128, n_threads: 1 }),
    );
  }
});
afterAll(async () => {
  for (const engine of engines.values()) await engine[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

function check(text: string): void {
  const { name, born, level, scores, ...more } = JSON.parse(text) as Record_;
  expect(more).toEqual({});
  const { length } = Array.from(name);
  expect(length > 0 && length <= 6).toBe(true);
  expect(new Date(`${born}T00:00:00Z`).toISOString().slice(0, 10)).toBe(born);
  expect(['low', 'high', null]).toContain(level);
  expect(scores.length <= 3 && scores.every((score) => score >= -5 && score <= 120)).toBe(true);
}

const callsOf = (events: readonly GenerationEvent[]): string =>
  events
    .flatMap((event) => event.tool_calls ?? [])
    .map((delta) => delta.arguments)
    .join('');

describe.each(['byte-pair', 'sentencepiece'])('with a %s vocabulary', (kind) => {
  it('answers are JSON of the schema at any temperature', async () => {
    const engine = engineOf(kind);
    const answers = await Promise.all(
      [0, 0.7, 1, 2].map((temperature) =>
        engine.generate('hello', {
          response_format,
          sampling: { temperature, seed: 5 },
          max_tokens: 300,
        }),
      ),
    );
    for (const { text, finish } of answers) {
      check(text);
      expect(finish?.reason).toBe('stop');
    }
  });

  it('the same seed draws the same, alone and in a batch', async () => {
    const engine = engineOf(kind);
    const changes = { response_format, sampling: { temperature: 1, seed: 11 }, max_tokens: 300 };
    const alone = await engine.generate('hello', changes);
    const together = await Promise.all(
      Array.from({ length: 6 }, (_, i) =>
        engine.generate(i % 2 === 0 ? 'hello' : `other ${i}`, changes),
      ),
    );
    for (const [i, { tokens }] of together.entries())
      if (i % 2 === 0) expect(tokens).toEqual(alone.tokens);
  });

  it('tools are called with valid arguments', async () => {
    const engine = engineOf(kind);
    const { events, finish, text } = await engine.generate('', {
      prompt: {
        kind: 'messages',
        messages: [{ role: 'user', content: 'hello' }],
        tools,
        tool_choice: { name: 'add' },
        chat_template: template,
      },
      max_tokens: 200,
    });
    expect(text).toBe('');
    expect(finish?.reason).toBe('tool_calls');
    const { a, b } = JSON.parse(callsOf(events)) as { a: number; b: boolean };
    expect(a >= 0 && a <= 9 && typeof b === 'boolean').toBe(true);
  });

  it('the prompt is echoed with log-probabilities that scoring confirms', async () => {
    const engine = engineOf(kind);
    const { events } = await engine.generate('hello world', {
      echo: true,
      top_logprobs: 1,
      max_tokens: 0,
    });
    const { tokens = [], logprobs = [], text } = events[0]?.prompt ?? {};
    expect(text).toBe('hello world');
    const { positions } = (await engine.call({
      type: 'score',
      prompt: { kind: 'tokens', tokens: tokens.slice(0, 1) },
      forced_tokens: tokens.slice(1),
      top_logprobs: 1,
      wanted: tokens.slice(1).map((token) => [token]),
    })) as { positions: { wanted_logprobs: number[] }[] };
    for (const [i, { wanted_logprobs }] of positions.entries())
      expect(logprobs[i + 1]?.logprob).toBeCloseTo(wanted_logprobs[0] ?? NaN, 2);
  });
});
