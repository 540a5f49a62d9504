// Embeddings over a model of arithmetic, whose rows depend on every token before them: any mix-up of prompts,
// positions or adapters changes the numbers.
import { describe, expect, it } from 'vitest';
import type { EmbedResult } from '@corral/contracts';
import { startFakeEngine } from '../engine-host.fake.ts';
import { createPool, encodeVector, normalise } from './pooling.ts';

type Engine = Awaited<ReturnType<typeof startFakeEngine>>;

const texts = ['one', 'a second, longer text', 'x', 'third '.repeat(30)];
const embed = (engine: Engine, id: string, changes: object = {}): Promise<void> =>
  engine.send({
    type: 'embed',
    id,
    tenant: 't',
    prompts: texts.map((text) => ({ kind: 'text', text })),
    ...changes,
  });

function resultOf(engine: Engine, id: string): EmbedResult {
  const answer = engine.answer(id);
  if (answer?.type !== 'result') throw new Error(JSON.stringify(answer));
  return answer.value as EmbedResult;
}

const decode = (text = ''): Float32Array => {
  const bytes = Buffer.from(text, 'base64');
  return Float32Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
};

async function embedded(changes: object = {}): Promise<string[]> {
  const engine = await startFakeEngine();
  await embed(engine, 'e', changes);
  engine.run();
  return [...resultOf(engine, 'e').embeddings];
}

describe('embed', () => {
  it('gives each prompt its vector and its count of tokens', async () => {
    const engine = await startFakeEngine();
    await embed(engine, 'e');
    engine.run();
    const { embeddings, prompt_tokens } = resultOf(engine, 'e');
    expect(prompt_tokens).toEqual(texts.map((text) => text.length + 1));
    for (const vector of embeddings.map(decode)) {
      expect(vector).toHaveLength(4);
      expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
    }
    expect(new Set(embeddings).size).toBe(texts.length);
  });

  it.each(['mean', 'last', 'cls'])('gives the same %s together as one by one', async (pooling) => {
    const together = await embedded({ pooling });
    for (const [i, text] of texts.entries())
      expect(await embedded({ pooling, prompts: [{ kind: 'text', text }] })).toEqual([together[i]]);
  });

  it('takes the mean where the model says nothing', async () => {
    expect(await embedded()).toEqual(await embedded({ pooling: 'mean' }));
    expect(await embedded()).not.toEqual(await embedded({ pooling: 'last' }));
  });

  it('leaves the length alone when told so', async () => {
    const [raw] = await embedded({ normalize: false });
    const [unit] = await embedded();
    expect([...normalise(decode(raw))]).toEqual([...decode(unit)]);
    expect(Math.hypot(...decode(raw))).not.toBeCloseTo(1, 2);
  });

  it('runs beside generations without changing either', async () => {
    const alone = await startFakeEngine();
    await alone.generate('g', { max_tokens: 30 });
    alone.run();
    const engine = await startFakeEngine();
    await engine.generate('g', { max_tokens: 30 });
    engine.host.step();
    await embed(engine, 'e');
    engine.run();
    expect(engine.tokens('g')).toEqual(alone.tokens('g'));
    expect([...resultOf(engine, 'e').embeddings]).toEqual(await embedded());
    // Every piece lies between two steps, and is small.
    expect(Math.max(...engine.library.controls.decodes)).toBeLessThanOrEqual(64);
  });

  it('uses adapters, and gives up when one is unloaded', async () => {
    const engine = await startFakeEngine();
    await engine.send({
      type: 'load_adapter',
      id: 'l',
      adapter_id: 'x',
      path: import.meta.filename,
    });
    await embed(engine, 'x', { adapter_id: 'x' });
    engine.run();
    expect(resultOf(engine, 'x').embeddings).not.toEqual(await embedded());
    await embed(engine, 'late', {
      adapter_id: 'x',
      prompts: [{ kind: 'text', text: 'x'.repeat(200) }],
    });
    await engine.generate('g', { max_tokens: 20 });
    engine.host.step();
    await engine.send({ type: 'unload_adapter', id: 'u', adapter_id: 'x' });
    engine.run();
    expect(engine.errorOf('late')?.code).toBe('not_found');
    expect(engine.finish('g')?.reason).toBe('length');
  });

  it('serves requests in turn', async () => {
    const engine = await startFakeEngine();
    await embed(engine, 'long', {
      prompts: Array.from({ length: 200 }, () => ({ kind: 'text', text: 'x'.repeat(99) })),
    });
    await embed(engine, 'short', { prompts: [{ kind: 'text', text: 'y' }] });
    engine.run();
    const order = engine.messages.flatMap((message) =>
      message.type === 'result' ? [message.id] : [],
    );
    expect(order.indexOf('short')).toBeLessThan(order.indexOf('long'));
  });

  it('can be cancelled, and leaves nothing behind', async () => {
    const engine = await startFakeEngine();
    await embed(engine, 'e', { prompts: [{ kind: 'text', text: 'x'.repeat(250) }] });
    await engine.generate('g', { max_tokens: 2 });
    engine.host.step();
    await engine.send({ type: 'cancel', id: 'c', target: 'e' });
    expect(engine.answer('c')).toMatchObject({ value: { cancelled: true } });
    expect(engine.errorOf('e')?.code).toBe('cancelled');
    await embed(engine, 'f');
    engine.run();
    expect([...resultOf(engine, 'f').embeddings]).toEqual(await embedded());
  });

  it.each([
    ['context_length_exceeded', { prompts: [{ kind: 'text', text: 'x'.repeat(300) }] }],
    ['not_found', { adapter_id: 'nobody' }],
    ['invalid_request', { prompts: [] }],
  ])('refuses with %s', async (code, changes) => {
    const engine = await startFakeEngine();
    await embed(engine, 'e', changes);
    expect(engine.errorOf('e')?.code).toBe(code);
    expect(engine.host.busy).toBe(false);
  });

  it('says the numbers of a text that is too long', async () => {
    const engine = await startFakeEngine();
    await embed(engine, 'e', { prompts: [{ kind: 'text', text: 'x'.repeat(300) }] });
    expect(engine.errorOf('e')?.params).toEqual({ prompt_tokens: 301, max_tokens: 0, n_ctx: 256 });
  });

  it('tells of a batch that failed, and of numbers that are not finite', async () => {
    const engine = await startFakeEngine();
    await embed(engine, 'e');
    engine.library.controls.nextOutcome = 'failed';
    engine.run();
    expect(engine.errorOf('e')?.code).toBe('engine_failed');
    engine.library.controls.poisoned = true;
    await embed(engine, 'f');
    engine.run();
    expect(engine.errorOf('f')?.code).toBe('engine_failed');
    expect(engine.host.busy).toBe(false);
  });

  it('refuses when there is no memory for it', async () => {
    const engine = await startFakeEngine();
    const available = process.availableMemory;
    process.availableMemory = () => 1000;
    try {
      await embed(engine, 'e');
    } finally {
      process.availableMemory = available;
    }
    expect(engine.errorOf('e')?.code).toBe('memory_too_small');
  });
});

describe('pooling', () => {
  it('is the mean, the last and the first row', () => {
    const rows = [Float32Array.of(1, 2), Float32Array.of(3, 8)];
    const pooled = (['mean', 'last', 'cls'] as const).map((pooling) => {
      const pool = createPool(pooling, 2);
      for (const row of rows) pool.add(row);
      return [...pool.result()];
    });
    expect(pooled).toEqual([
      [2, 5],
      [3, 8],
      [1, 2],
    ]);
  });

  it('leaves a vector of zeros alone, and encodes little-endian floats', () => {
    expect([...normalise(Float32Array.of(0, 0))]).toEqual([0, 0]);
    expect(encodeVector(Float32Array.of(1, -2))).toBe('AACAPwAAAMA=');
  });
});
