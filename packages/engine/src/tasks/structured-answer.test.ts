// Answers in a format, and the prompt echoed, over a model of arithmetic: what it would rather say is noise,
// so only the grammar makes it JSON.
import { describe, expect, it } from 'vitest';
import { startFakeEngine, textOf } from '../engine-host.fake.ts';

const person = {
  type: 'object',
  properties: {
    name: { type: 'string', maxLength: 5 },
    age: { type: 'integer', minimum: 0, maximum: 150 },
    tags: { type: 'array', items: { enum: ['a', 'b'] }, maxItems: 3 },
  },
  required: ['name', 'age'],
  additionalProperties: false,
};
const format = { type: 'json_schema' as const, schema: person };

describe('response_format', () => {
  it.each([0, 1, 2])(
    'gives JSON of the schema at temperature %i, and ends by itself',
    async (temperature) => {
      const engine = await startFakeEngine();
      for (const seed of [1, 2, 3]) {
        const sampling = { temperature, seed };
        await engine.generate(`g${seed}`, { sampling, response_format: format, max_tokens: 200 });
        engine.run();
        const value = JSON.parse(textOf(engine.events(`g${seed}`))) as {
          name: string;
          age: number;
        };
        expect(Array.from(value.name).length).toBeLessThanOrEqual(5);
        expect(value.age).toBeLessThanOrEqual(150);
        expect(engine.finish(`g${seed}`)?.reason).toBe('stop');
      }
    },
  );

  it('gives an object for json_object', async () => {
    const engine = await startFakeEngine();
    // Closing brackets are likely, so that noise comes to an end.
    const bias = Array.from('"}]', (c) => [c.codePointAt(0) ?? 0, 8] as [number, number]);
    await engine.generate('g', {
      response_format: { type: 'json_object' },
      sampling: { seed: 4, logit_bias: bias },
      max_tokens: 240,
    });
    engine.run();
    expect(engine.finish('g')?.reason).toBe('stop');
    expect(JSON.parse(textOf(engine.events('g')))).toBeTypeOf('object');
  });

  it('draws the same with the same seed, alone and in company', async () => {
    const engine = await startFakeEngine();
    const changes = { sampling: { seed: 7 }, response_format: format, max_tokens: 100 };
    await engine.generate('alone', changes);
    engine.run();
    for (const id of ['a', 'b', 'c']) await engine.generate(id, changes);
    engine.run();
    for (const id of ['a', 'b', 'c']) expect(engine.tokens(id)).toEqual(engine.tokens('alone'));
  });

  it('ends with length in the middle', async () => {
    const engine = await startFakeEngine();
    await engine.generate('g', { response_format: format, max_tokens: 5 });
    engine.run();
    expect(engine.finish('g')).toMatchObject({ reason: 'length', completion_tokens: 5 });
    expect(textOf(engine.events('g'))).toMatch(/^\{\s*"/);
  });

  it('never ends a turn before the value is whole', async () => {
    const engine = await startFakeEngine();
    const sampling = { temperature: 0, logit_bias: [[257, 1000]] as [number, number][] };
    await engine.generate('g', {
      sampling,
      ignore_eos: false,
      response_format: { type: 'json_schema', schema: { type: 'integer', minimum: 100 } },
      max_tokens: 50,
    });
    engine.run();
    // The end of the turn is what the model likes best: it comes as soon as it may.
    expect(textOf(engine.events('g'))).toMatch(/^\d{3}$/);
    expect(engine.finish('g')).toMatchObject({ reason: 'stop', completion_tokens: 4 });
  });

  it('refuses what the schema says and the engine does not follow, by name', async () => {
    const engine = await startFakeEngine();
    await engine.generate('g', { response_format: { type: 'json_schema', schema: { not: {} } } });
    expect(engine.errorOf('g')).toMatchObject({
      code: 'unsupported_parameter',
      param: 'response_format.json_schema.schema.not',
    });
    expect(engine.host.busy).toBe(false);
  });
});

describe('echo', () => {
  it('begins with the prompt', async () => {
    const engine = await startFakeEngine();
    await engine.generate('g', { echo: true, max_tokens: 2 });
    engine.run();
    const [first, second] = engine.events('g');
    expect(first?.prompt).toEqual({ text: 'hello', tokens: [258, ...Buffer.from('hello')] });
    expect(second).not.toHaveProperty('prompt');
  });

  it('tells the log-probability of each token of the prompt but the first, as scoring does', async () => {
    const engine = await startFakeEngine({ n_batch: 8 });
    const text = 'a longer prompt, in several steps';
    await engine.generate('g', {
      prompt: { kind: 'text', text },
      echo: true,
      top_logprobs: 2,
      max_tokens: 1,
    });
    engine.run();
    const { tokens, logprobs = [] } = engine.events('g')[0]?.prompt ?? { tokens: [] };
    expect(logprobs).toHaveLength(tokens.length);
    expect(logprobs[0]).toBeNull();
    await engine.send({
      type: 'score',
      id: 's',
      prompt: { kind: 'tokens', tokens: tokens.slice(0, 1) },
      forced_tokens: tokens.slice(1),
      top_logprobs: 2,
      wanted: tokens.slice(1).map((token) => [token]),
    });
    engine.run();
    const answer = engine.answer('s');
    const { positions } = (answer?.type === 'result' ? answer.value : null) as {
      positions: { wanted_logprobs: number[]; top_logprobs: [number, number][] }[];
    };
    expect(logprobs.slice(1).map((entry) => entry?.logprob)).toEqual(
      positions.map(({ wanted_logprobs: [own] }) => own),
    );
    expect(logprobs[1]?.top.map(({ token, logprob }) => [token, logprob])).toEqual(
      positions[0]?.top_logprobs,
    );
  });

  it('does without new tokens, with log-probabilities and without', async () => {
    const engine = await startFakeEngine();
    await engine.generate('bare', { echo: true, max_tokens: 0 });
    await engine.generate('g', { echo: true, max_tokens: 0, top_logprobs: 0 });
    engine.run();
    for (const id of ['bare', 'g']) {
      expect(engine.events(id)).toHaveLength(1);
      expect(engine.finish(id)).toMatchObject({
        reason: 'length',
        completion_tokens: 0,
        prompt_tokens: 6,
      });
      expect(engine.events(id)[0]?.prompt?.text).toBe('hello');
    }
    expect(engine.events('g')[0]?.prompt?.logprobs).toHaveLength(6);
    expect(engine.events('bare')[0]?.prompt).not.toHaveProperty('logprobs');
  });
});
