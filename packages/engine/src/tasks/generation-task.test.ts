// Generation over a model of arithmetic: text, ends, log-probabilities, company, refusals.
import { describe, expect, it } from 'vitest';
import { startFakeEngine, textOf } from '../engine-host.fake.ts';

describe('generate', () => {
  it('streams one event a step and ends with the counts', async () => {
    const engine = await startFakeEngine();
    await engine.generate('g');
    engine.run();
    expect(engine.events('g')).toHaveLength(8);
    // BOS and five letters.
    expect(engine.finish('g')).toEqual({
      reason: 'length',
      prompt_tokens: 6,
      completion_tokens: 8,
      cached_tokens: 0,
    });
  });

  it('gives a request the same tokens in company as alone, joining and leaving at any time', async () => {
    const prompts = ['one', 'a second, longer prompt', 'third '.repeat(30), 'x', 'five', 'six'];
    const alone: number[][] = [];
    for (const text of prompts) {
      const engine = await startFakeEngine();
      await engine.generate('g', { prompt: { kind: 'text', text }, max_tokens: 20 });
      engine.run();
      alone.push(engine.tokens('g'));
    }
    const engine = await startFakeEngine();
    for (const [i, text] of prompts.entries()) {
      await engine.generate(`g${i}`, { prompt: { kind: 'text', text }, max_tokens: 20 });
      for (let step = 0; step < i; step++) engine.host.step();
    }
    engine.run();
    expect(prompts.map((_, i) => engine.tokens(`g${i}`))).toEqual(alone);
  });

  it('sends the news of all requests of a step in one message', async () => {
    const engine = await startFakeEngine();
    await engine.generate('a');
    await engine.generate('b');
    engine.run();
    const batches = engine.messages.filter((message) => message.type === 'tokens');
    expect(batches).toHaveLength(8);
    expect(batches[0]?.events.map((event) => event.id).toSorted()).toEqual(['a', 'b']);
  });

  it('stops at the end of a turn, which has no text and no log-probability', async () => {
    const engine = await startFakeEngine();
    const sampling = { temperature: 0, logit_bias: [[257, 1000]] as [number, number][] };
    await engine.generate('g', { ignore_eos: false, sampling, top_logprobs: 1 });
    engine.run();
    expect(engine.events('g')).toMatchObject([{ text: '', tokens: [257] }]);
    expect(engine.events('g')[0]).not.toHaveProperty('logprobs');
    expect(engine.finish('g')).toMatchObject({ reason: 'stop', completion_tokens: 1 });
  });

  it('never samples the end of a turn under ignore_eos', async () => {
    const engine = await startFakeEngine();
    const sampling = { temperature: 0, logit_bias: [[257, 1000]] as [number, number][] };
    await engine.generate('g', { sampling });
    engine.run();
    expect(engine.tokens('g')).not.toContain(257);
    expect(engine.finish('g')?.reason).toBe('length');
  });

  it('cuts the text at a stop string that spans tokens', async () => {
    const engine = await startFakeEngine();
    // Bytes are drawn: force letters by bias, so that a stop string can be made of them.
    const bias = Array.from({ length: 26 }, (_, i) => [97 + i, 100] as [number, number]);
    const sampling = { temperature: 0, logit_bias: bias };
    await engine.generate('whole', { sampling, max_tokens: 12 });
    engine.run();
    const whole = textOf(engine.events('whole'));
    expect(whole).toMatch(/^[a-z]{12}$/);
    const stop = whole.slice(4, 7);
    await engine.generate('cut', { sampling, max_tokens: 12, stop: [stop] });
    engine.run();
    expect(textOf(engine.events('cut'))).toBe(whole.slice(0, whole.indexOf(stop)));
    expect(engine.finish('cut')?.reason).toBe('stop');
  });

  it('gives log-probabilities of the token and of its alternatives, best first', async () => {
    const engine = await startFakeEngine();
    await engine.generate('g', { top_logprobs: 3, max_tokens: 1 });
    engine.run();
    const [entry] = engine.events('g')[0]?.logprobs ?? [];
    expect(entry?.top).toHaveLength(3);
    expect(entry?.top[0]).toMatchObject({ token: entry?.token, logprob: entry?.logprob });
  });

  it('answers at once when no token is asked for', async () => {
    const engine = await startFakeEngine();
    await engine.generate('g', { max_tokens: 0 });
    engine.run();
    expect(engine.finish('g')).toMatchObject({ reason: 'length', completion_tokens: 0 });
  });

  it.each([
    ['context_length_exceeded', { max_tokens: 251 }],
    ['context_length_exceeded', { prompt: { kind: 'text' as const, text: 'x'.repeat(1 << 20) } }],
    ['invalid_request', { prompt: { kind: 'tokens' as const, tokens: [259] } }],
    ['invalid_request', { sampling: { logit_bias: [[259, 1]] as [number, number][] } }],
    ['not_found', { adapter_id: 'nobody' }],
  ])('refuses with %s', async (code, changes) => {
    const engine = await startFakeEngine();
    await engine.generate('g', changes);
    expect(engine.errorOf('g')?.code).toBe(code);
    expect(engine.host.busy).toBe(false);
  });

  it('says the numbers of a prompt that is too long', async () => {
    const engine = await startFakeEngine();
    await engine.generate('g', { max_tokens: 251 });
    expect(engine.errorOf('g')?.params).toEqual({ prompt_tokens: 6, max_tokens: 251, n_ctx: 256 });
  });

  it('refuses an id that is in use', async () => {
    const engine = await startFakeEngine();
    await engine.generate('g');
    await engine.generate('g');
    expect(engine.errorOf('g')?.code).toBe('conflict');
  });

  it('refuses more than can reasonably wait', async () => {
    const engine = await startFakeEngine();
    for (let i = 0; i <= 1024; i++) await engine.generate(`g${i}`);
    expect(engine.errorOf('g1024')?.code).toBe('overloaded');
  });

  it('ends only the requests of a batch that failed', async () => {
    const engine = await startFakeEngine();
    await engine.generate('g');
    engine.host.step();
    engine.library.controls.nextOutcome = 'failed';
    engine.host.step();
    expect(engine.errorOf('g')?.code).toBe('engine_failed');
    await engine.generate('h');
    engine.run();
    expect(engine.finish('h')?.reason).toBe('length');
  });

  it('says so when the model answers with NaN', async () => {
    const engine = await startFakeEngine();
    engine.library.controls.poisoned = true;
    await engine.generate('g');
    engine.run();
    expect(engine.errorOf('g')).toMatchObject({ code: 'engine_failed' });
  });

  it('serves another tenant before the rest of a long queue', async () => {
    const engine = await startFakeEngine({ n_seq_max: 1 });
    for (let i = 0; i < 5; i++) await engine.generate(`a${i}`, { tenant: 'a', max_tokens: 1 });
    await engine.generate('b', { tenant: 'b', max_tokens: 1 });
    engine.run();
    const order = engine.messages.flatMap((message) =>
      message.type === 'tokens' ? message.events.map((event) => event.id) : [],
    );
    expect(order.indexOf('b')).toBeLessThanOrEqual(1);
  });
});
