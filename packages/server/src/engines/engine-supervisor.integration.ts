// One child per base: started once for all who ask, shared by streams, restarted after a crash, gone
// after close. The child is a process that speaks the contract (fake-engine.fake.ts).
import { setTimeout as delay } from 'node:timers/promises';
import type { GenerationEvent } from '@corral/contracts';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createEngineSupervisor } from './engine-supervisor.ts';
import type { Engines } from './engine-supervisor.ts';
import type { Engine, GenerateRequest } from './engine.ts';
import { fakeEngineUrl } from './fake-engine.fake.ts';

let engines: Engines;
beforeEach(() => {
  engines = createEngineSupervisor({
    workerUrl: fakeEngineUrl,
    restartMs: 10,
    maxCrashes: 3,
    watchdogMs: 400,
    maxWaiting: 1,
    maxAdapters: 2,
    engine: { n_seq_max: 2 },
  });
});
afterEach(() => engines.close());

const ask = (content: string, more: Partial<GenerateRequest> = {}): GenerateRequest => ({
  tenant: 't',
  adapter: null,
  prompt: { kind: 'messages', messages: [{ role: 'user', content }] },
  maxTokens: 100,
  ...more,
});
async function collect(events: AsyncIterable<GenerationEvent>) {
  const all: GenerationEvent[] = [];
  for await (const event of events) all.push(event);
  return { text: all.map((event) => event.text).join(''), finish: all.at(-1)?.finish, all };
}
const tiny = (): Engine => engines.engine({ id: 'tiny', modelPath: '/m/tiny.gguf' });
/** A machine that is busy with other tests starts children slowly. */
const poll = <T>(what: () => T) => expect.poll(what, { timeout: 20_000 });
const pidOf = async (engine: Engine) => (await engine.report()).pid;
const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe('a healthy engine', () => {
  test('concurrent first callers share one child', async () => {
    const engine = tiny();
    const [a, b] = await Promise.all([
      collect(engine.generate(ask('say one'))),
      collect(engine.generate(ask('say two words'))),
      engine.info(),
    ]);
    expect([a.text, b.text]).toEqual(['one', 'two words']);
    expect(b.finish).toMatchObject({ reason: 'stop', completion_tokens: 2 });
    expect(await engines.report()).toMatchObject([{ base: 'tiny', state: 'ready' }]);
    expect(tiny()).toBe(engine);
  });

  test('adapters are loaded once, when first needed', async () => {
    const engine = tiny();
    const adapter = { id: 'abcdef', path: '/a.gguf' };
    const texts = await Promise.all(
      [1, 2].map(() => collect(engine.generate(ask('say hi', { adapter })))),
    );
    expect(texts.map(({ text }) => text)).toEqual(['[abcd] hi', '[abcd] hi']);
    expect((await engine.report()).adapters).toBe(1);
  });

  test('adapters beyond the limit make place for those that are asked for', async () => {
    const engine = tiny();
    for (const id of ['aaaa', 'bbbb', 'cccc', 'aaaa']) {
      const adapter = { id, path: `/${id}.gguf` };
      expect((await collect(engine.generate(ask('say hi', { adapter })))).text).toBe(`[${id}] hi`);
    }
    expect((await engine.report()).adapters).toBe(2);
  });

  test('an abort ends the stream and frees the child', async () => {
    const engine = tiny();
    const abort = new AbortController();
    const seen: string[] = [];
    for await (const event of engine.generate(ask('count 1000 5'), abort.signal)) {
      seen.push(event.text);
      if (seen.length === 3) abort.abort();
    }
    expect(seen.length).toBeLessThan(10);
    await poll(async () => (await engine.report()).active).toBe(0);
  });

  test('leaving the loop frees the child too', async () => {
    const engine = tiny();
    for await (const _ of engine.generate(ask('count 1000 5'))) break;
    await poll(async () => (await engine.report()).active).toBe(0);
  });

  test('more of one tenant than fit are refused at once, another is let in', async () => {
    const engine = tiny();
    const abort = new AbortController();
    const running = [1, 2, 3].map(() =>
      collect(engine.generate(ask('count 100 20'), abort.signal)),
    );
    await expect(collect(engine.generate(ask('say no')))).rejects.toMatchObject({
      code: 'overloaded',
    });
    const other = collect(engine.generate(ask('say yes', { tenant: 'another' })));
    expect((await other).text).toBe('yes');
    abort.abort();
    await Promise.all(running);
    expect((await collect(engine.generate(ask('say yes')))).text).toBe('yes');
  });

  test("the child's own refusals reach the caller with their code", async () => {
    const call = collect(tiny().generate(ask('say x', { maxTokens: 5000 })));
    await expect(call).rejects.toMatchObject({ code: 'context_length_exceeded' });
  });
});

describe('an engine that fails', () => {
  test('its streams end with engine_failed and it is restarted', async () => {
    const engine = tiny();
    await Promise.all([
      expect(collect(engine.generate(ask('count 1000 5')))).rejects.toThrow('engine failed'),
      expect(collect(engine.generate(ask('crash')))).rejects.toMatchObject({
        code: 'engine_failed',
      }),
    ]);
    expect((await collect(engine.generate(ask('say back')))).text).toBe('back');
  });

  test('adapters are loaded again after a restart', async () => {
    const engine = tiny();
    const adapter = { id: 'abcdef', path: '/a.gguf' };
    await collect(engine.generate(ask('say a', { adapter })));
    await expect(collect(engine.generate(ask('crash')))).rejects.toThrow('SIGKILL');
    await collect(engine.generate(ask('say a', { adapter })));
    expect((await engine.report()).adapters).toBe(1);
  });

  test('one that stops answering is killed and started again', async () => {
    const engine = tiny();
    await expect(collect(engine.generate(ask('freeze')))).rejects.toThrow('did not answer');
    expect((await collect(engine.generate(ask('say awake')))).text).toBe('awake');
  });

  test('one that dies while loading is given up after a few tries, and tried again when asked', async () => {
    const engine = engines.engine({ id: 'bad', modelPath: '/m/dies.gguf' });
    await expect(engine.info()).rejects.toMatchObject({ code: 'engine_failed' });
    expect((await engine.report()).state).toBe('stopped');
    await expect(engine.info()).rejects.toThrow('exit code 3');
  });

  test('a model that is refused is not tried again', async () => {
    const engine = engines.engine({ id: 'bad', modelPath: '/m/refused.gguf' });
    await expect(engine.info()).rejects.toThrow('refused');
    expect((await engine.report()).state).toBe('stopped');
  });
});

describe('the end', () => {
  test('close ends children, running streams and waiting starts, and can be repeated', async () => {
    const engine = tiny();
    const stream = collect(engine.generate(ask('count 1000 5')));
    await poll(async () => (await engine.report()).state).toBe('ready');
    const pid = await pidOf(engine);
    const starting = engines.engine({ id: 'second', modelPath: '/m/2.gguf' }).info();
    await Promise.all([
      engines.close(),
      expect(stream).rejects.toThrow('stopped'),
      expect(starting).rejects.toMatchObject({ code: 'engine_unavailable' }),
    ]);
    await engines.close();
    expect(pid !== null && isAlive(pid)).toBe(false);
    await expect(engine.info()).rejects.toMatchObject({ code: 'closed' });
  });

  test('unloading one base leaves the others', async () => {
    const [engine, other] = [tiny(), engines.engine({ id: 'other', modelPath: '/m/o.gguf' })];
    await Promise.all([engine.info(), other.info()]);
    const pid = await pidOf(engine);
    await engines.unload('tiny');
    expect(pid !== null && isAlive(pid)).toBe(false);
    expect(await engines.report()).toMatchObject([{ base: 'other', state: 'ready' }]);
  });

  test('secrets of the server do not reach the child', async () => {
    process.env['CORRAL_TEST_TOKEN'] = 'secret';
    try {
      const pid = await tiny()
        .info()
        .then(() => pidOf(tiny()));
      await delay(1);
      const { readFile } = await import('node:fs/promises');
      const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
      expect(environment).not.toContain('CORRAL_TEST_TOKEN');
    } finally {
      delete process.env['CORRAL_TEST_TOKEN'];
    }
  });
});
