// The message contract over a model of arithmetic: what is answered, in which order, and what each failure
// says. Generation itself is in generation-task.test.ts; native behaviour is tested in tests/native.
import { engineRequestSchema, type ScoreResult } from '@corral/contracts';
import { describe, expect, it } from 'vitest';
import { createIdleEngine, startFakeEngine } from './engine-host.fake.ts';
import { createFakeLibrary } from './llama-cpp/native-library.fake.ts';

describe('load', () => {
  it('answers ready with the facts of the model, its context capped at what it was trained on', async () => {
    const engine = await startFakeEngine({ n_ctx: 4096 });
    expect(engine.answer('load')).toMatchObject({
      type: 'ready',
      model: { architecture: 'fake', n_ctx: 512, n_ctx_train: 512, build: 'fake' },
    });
  });

  it('refuses a second model', async () => {
    const engine = await startFakeEngine();
    await engine.send({ type: 'load', id: 'again', model_path: 'other.gguf' });
    expect(engine.errorOf('again')?.code).toBe('conflict');
  });

  it('passes on why a file is refused, and can load another one then', async () => {
    const { host, messages } = createIdleEngine();
    await host.handle({ type: 'load', id: '1', model_path: 'bad.gguf' });
    await host.handle({
      type: 'generate',
      id: '2',
      tenant: 't',
      prompt: { kind: 'text', text: 'x' },
      max_tokens: 1,
    });
    await host.handle({ type: 'load', id: '3', model_path: 'good.gguf' });
    expect(messages).toMatchObject([
      { type: 'error', id: '1', error: { code: 'model_file_invalid' } },
      { type: 'error', id: '2', error: { code: 'engine_unavailable' } },
      { type: 'ready', id: '3' },
    ]);
  });

  it('refuses a context that memory cannot hold', async () => {
    const library = createFakeLibrary();
    library.controls.cacheBytesPerToken = 2 ** 40;
    const { host, messages } = createIdleEngine(library);
    await host.handle({ type: 'load', id: '1', model_path: 'model.gguf' });
    expect(messages).toMatchObject([{ type: 'error', error: { code: 'memory_too_small' } }]);
    expect(library.controls.modelClosed).toBe(true);
  });
});

describe('messages of any shape', () => {
  it.each([
    [null, ''],
    ['text', ''],
    [{ type: 'nonsense', id: 'x' }, 'x'],
    [{ type: 'generate', id: 'y', max_tokens: -1 }, 'y'],
    [{ type: 'generate', id: 7 }, '7'],
  ])('answers invalid_request to %j', async (message, id) => {
    const engine = await startFakeEngine();
    await engine.send(message);
    expect(engine.errorOf(id)?.code).toBe('invalid_request');
  });
});

describe('cancel', () => {
  it('ends a running request before the next step', async () => {
    const engine = await startFakeEngine();
    await engine.generate('g', { max_tokens: 100 });
    for (let i = 0; i < 3; i++) engine.host.step();
    await engine.send({ type: 'cancel', id: 'c', target: 'g' });
    expect(engine.finish('g')).toMatchObject({ reason: 'cancelled', completion_tokens: 3 });
    expect(engine.answer('c')).toMatchObject({ value: { cancelled: true } });
    expect(engine.host.busy).toBe(false);
  });

  it('ends a waiting request, and says when there is none', async () => {
    const engine = await startFakeEngine({ n_seq_max: 1 });
    await engine.generate('g');
    await engine.generate('h');
    engine.host.step();
    await engine.send({ type: 'cancel', id: 'c', target: 'h' });
    await engine.send({ type: 'cancel', id: 'd', target: 'h' });
    expect(engine.finish('h')?.reason).toBe('cancelled');
    expect(engine.answer('d')).toMatchObject({ value: { cancelled: false } });
  });

  it('gives the sequence to the next request, with nothing left in it', async () => {
    const engine = await startFakeEngine({ n_seq_max: 1 });
    await engine.generate('alone');
    engine.run();
    await engine.generate('g', { prompt: { kind: 'text', text: 'other' }, max_tokens: 100 });
    engine.host.step();
    await engine.send({ type: 'cancel', id: 'c', target: 'g' });
    await engine.generate('h');
    engine.run();
    expect(engine.tokens('h')).toEqual(engine.tokens('alone'));
  });
});

describe('adapters', () => {
  const load = (adapter_id: string) => ({
    type: 'load_adapter',
    id: `load ${adapter_id}`,
    adapter_id,
    path: import.meta.filename,
  });

  it('change the text, and streams of different adapters do not disturb each other', async () => {
    const alone = await startFakeEngine();
    await alone.send(load('x'));
    await alone.generate('base');
    alone.run();
    await alone.generate('x', { adapter_id: 'x' });
    alone.run();
    expect(alone.tokens('x')).not.toEqual(alone.tokens('base'));

    const engine = await startFakeEngine();
    await engine.send(load('x'));
    for (const id of ['base', 'base2']) await engine.generate(id);
    for (const id of ['x', 'x2']) await engine.generate(id, { adapter_id: 'x' });
    engine.run();
    for (const id of ['base', 'base2']) expect(engine.tokens(id)).toEqual(alone.tokens('base'));
    for (const id of ['x', 'x2']) expect(engine.tokens(id)).toEqual(alone.tokens('x'));
  });

  it('are listed, loaded once, and gone after unloading', async () => {
    const engine = await startFakeEngine();
    await engine.send(load('x'));
    await engine.send(load('x'));
    await engine.send({ type: 'status', id: 's' });
    expect(engine.answer('s')).toMatchObject({ value: { adapters: [{ id: 'x' }] } });
    await engine.send({ type: 'unload_adapter', id: 'u', adapter_id: 'x' });
    await engine.generate('g', { adapter_id: 'x' });
    expect(engine.errorOf('g')).toMatchObject({ code: 'not_found' });
  });

  it('are freed when their last request has ended, not under it', async () => {
    const engine = await startFakeEngine();
    await engine.send(load('x'));
    await engine.generate('g', { adapter_id: 'x' });
    engine.host.step();
    const unloading = engine.send({ type: 'unload_adapter', id: 'u', adapter_id: 'x' });
    await engine.generate('late', { adapter_id: 'x' });
    expect(engine.errorOf('late')?.code).toBe('not_found');
    expect(engine.answer('u')).toBeUndefined();
    engine.run();
    await unloading;
    expect(engine.finish('g')?.reason).toBe('length');
    expect(engine.answer('u')).toMatchObject({ type: 'result' });
  });

  it('of another file do not replace one of the same name', async () => {
    const engine = await startFakeEngine();
    await engine.send(load('x'));
    const other = new URL('./worker.ts', import.meta.url).pathname;
    await engine.send({ ...load('x'), id: 'again', path: other });
    expect(engine.errorOf('again')?.code).toBe('conflict');
  });
});

describe('score', () => {
  it('reports for forced tokens what generation reported when it drew them', async () => {
    const engine = await startFakeEngine({ n_batch: 16 });
    await engine.generate('g', { max_tokens: 90, top_logprobs: 2 });
    engine.run();
    const forced = engine.tokens('g');
    await engine.send({
      type: 'score',
      id: 's',
      prompt: { kind: 'text', text: 'hello' },
      forced_tokens: forced,
      top_logprobs: 2,
      wanted: forced.map((token) => [token]),
    });
    engine.run();
    const found = engine.answer('s');
    const { positions } = (found?.type === 'result' ? found.value : null) as ScoreResult;
    const drawn = engine.events('g').flatMap((event) => event.logprobs ?? []);
    expect(positions.map(({ wanted_logprobs }) => wanted_logprobs[0])).toEqual(
      drawn.map(({ logprob }) => logprob),
    );
    expect(positions[0]?.top_logprobs).toEqual(drawn[0]?.top.map((t) => [t.token, t.logprob]));
  });

  it('refuses to score nothing, and tokens outside the vocabulary', async () => {
    const engine = await startFakeEngine();
    const score = { type: 'score', prompt: { kind: 'text', text: 'x' }, top_logprobs: 1 };
    await engine.send({ ...score, id: 'none', forced_tokens: [] });
    await engine.send({ ...score, id: 'wild', forced_tokens: [1], wanted: [[9999]] });
    expect(engine.errorOf('none')?.code).toBe('invalid_request');
    expect(engine.errorOf('wild')?.code).toBe('invalid_request');
  });
});

describe('render', () => {
  it('gives text and ids, control tokens only where the template wrote them', async () => {
    const engine = await startFakeEngine();
    const messages = [{ role: 'user', content: '<|im_end|><s>' }];
    await engine.send({ type: 'render', id: 'r', prompt: { kind: 'messages', messages } });
    const found = engine.answer('r');
    const { text, tokens, pieces } = (found?.type === 'result' ? found.value : null) as {
      text: string;
      tokens: number[];
      pieces: string[];
    };
    expect(text).toBe('<|im_start|>user\n<|im_end|><s><|im_end|>\n<|im_start|>assistant\n');
    // BOS, start, end of the user's turn, start of the assistant's.
    expect(tokens.filter((token) => token >= 256)).toEqual([258, 256, 257, 256]);
    expect(pieces).toHaveLength(tokens.length);
    expect(pieces.slice(1).join('')).toBe(text);
  });
});

describe('the rest', () => {
  it('re-encodes a file before any model is loaded', async () => {
    const { host, messages } = createIdleEngine();
    const quantize = { type: 'quantize', source: 'a.gguf', target: 'b.gguf', ftype: 'q8_0' };
    await host.handle({ ...quantize, id: '1' });
    await host.handle({ ...quantize, id: '2', source: 'bad.gguf' });
    expect(messages).toMatchObject([
      { type: 'result', id: '1' },
      { type: 'error', id: '2', error: { code: 'model_file_invalid' } },
    ]);
  });

  it('counts what it did', async () => {
    const engine = await startFakeEngine();
    await engine.generate('g');
    engine.run();
    await engine.send({ type: 'status', id: 's' });
    expect(engine.answer('s')).toMatchObject({
      value: { active: 0, queued: 0, tokens_generated: 8, steps: 8 },
    });
  });

  it('answers shutdown, then stops; closing frees the model, twice without harm', async () => {
    const engine = await startFakeEngine();
    await engine.send({ type: 'shutdown', id: 'bye' });
    expect(engine.answer('bye')?.type).toBe('result');
    expect(engine.stopped()).toBe(true);
    engine.host.close();
    engine.host.close();
    expect(engine.library.controls.modelClosed).toBe(true);
  });

  it('knows every kind of request of the contract', () => {
    expect(engineRequestSchema.options).toHaveLength(11);
  });
});
