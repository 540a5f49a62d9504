// Several bases in one budget: loaded when asked for, unloaded for others and for being idle, kept when
// pinned; and one base's crash, hang or greed is its own affair. Children are scripted; a base whose file
// cannot be read is taken for 128 MiB.
import type { GenerationEvent } from '@corral/contracts';
import { afterEach, describe, expect, test } from 'vitest';
import { createEngineSupervisor } from './engine-supervisor.ts';
import type { Engines, EngineSupervisorOptions } from './engine-supervisor.ts';
import type { Engine, GenerateRequest } from './engine.ts';
import { fakeEngineUrl } from './fake-engine.fake.ts';

const mebibyte = 2 ** 20;
let engines: Engines;
const start = (options: EngineSupervisorOptions = {}): void => {
  engines = createEngineSupervisor({
    workerUrl: fakeEngineUrl,
    restartMs: 10,
    measureMs: 20,
    measure: () => Promise.resolve(null),
    ...options,
    // Room for one.
    memory: { limitBytes: 130 * mebibyte, patienceMs: 200, lingerMs: 10, ...options.memory },
  });
};
afterEach(() => engines.close());

const engine = (id: string): Engine => engines.engine({ id, modelPath: `/m/${id}.gguf` });
const ask = (content: string): GenerateRequest => ({
  tenant: 't',
  adapter: null,
  prompt: { kind: 'messages', messages: [{ role: 'user', content }] },
  maxTokens: 900,
});
async function collect(events: AsyncIterable<GenerationEvent>): Promise<string> {
  let text = '';
  for await (const event of events) text += event.text;
  return text;
}
const answer = (id: string, content: string) => collect(engine(id).generate(ask(content)));
/** A machine that is busy with other tests starts children slowly. */
const poll = <T>(what: () => T) => expect.poll(what, { timeout: 20_000 });
const states = async () =>
  Object.fromEntries((await engines.report()).map(({ base, state }) => [base, state]));
const pidOf = async (id: string) => (await engine(id).report()).pid ?? 0;
const counted = (to: number) => Array.from({ length: to }, (_, i) => `${i + 1} `).join('');

describe('a budget for one base', () => {
  test('the second unloads the first, which comes back when asked for', async () => {
    start();
    expect(await answer('a', 'say one')).toBe('one');
    expect(await answer('b', 'say two')).toBe('two');
    expect(await states()).toEqual({ a: 'stopped', b: 'ready' });
    expect(await answer('a', 'say three')).toBe('three');
    expect(engines.memory()).toEqual({
      limit_bytes: 130 * mebibyte,
      reserved_bytes: 128 * mebibyte,
      waiting: 0,
    });
  });

  test('two first requests at once are both answered, and never are two loaded', async () => {
    start();
    const pids = new Set<string>();
    const watch = setInterval(() => {
      void engines.report().then((all) => {
        const alive = all.filter(({ pid }) => pid !== null).map(({ base }) => base);
        pids.add(alive.toSorted().join('+'));
      });
    }, 5);
    const texts = await Promise.all([answer('a', 'say one'), answer('b', 'say two')]);
    clearInterval(watch);
    expect(texts).toEqual(['one', 'two']);
    expect([...pids]).not.toContain('a+b');
    expect([...pids]).toContain('a');
  });

  test('who waits is seen to wait, and a running stream is not cut for it', async () => {
    start();
    const stream = answer('a', 'count 200 10');
    await poll(states).toMatchObject({ a: 'ready' });
    const next = answer('b', 'say two');
    await poll(states).toEqual({ a: 'ready', b: 'waiting' });
    expect(engines.memory().waiting).toBe(1);
    expect(await stream).toBe(counted(200));
    expect(await next).toBe('two');
  });

  test('a reader who stops reading keeps nobody out once the answer is there', async () => {
    start();
    const stalled = engine('a').generate(ask('count 20 1'))[Symbol.asyncIterator]();
    expect((await stalled.next()).value?.text).toBe('1 ');
    expect(await answer('b', 'say two')).toBe('two');
    const rest = await collect({ [Symbol.asyncIterator]: () => stalled });
    expect(`1 ${rest}`).toBe(counted(20));
  });

  test('a queue is bounded in time: refused with the numbers and when to come again', async () => {
    start({ memory: { waitMs: 300 } });
    const abort = new AbortController();
    const stream = collect(engine('a').generate(ask('count 900 10'), abort.signal));
    await poll(states).toMatchObject({ a: 'ready' });
    await expect(answer('b', 'say two')).rejects.toMatchObject({
      code: 'overloaded',
      message: expect.stringMatching(/"b" needs 128.0 MiB of memory; 128.0 MiB of 130.0 MiB/),
      details: { retry_after_seconds: 5 },
    });
    abort.abort();
    await stream;
  });

  test('what is larger than the budget is refused, as is what pinned bases leave no room for', async () => {
    start({ memory: { limitBytes: 120 * mebibyte } });
    await expect(answer('a', 'say one')).rejects.toMatchObject({ code: 'model_too_large' });
    await engines.close();
    start();
    engines.pin([{ id: 'a', modelPath: '/m/a.gguf' }]);
    await poll(states).toEqual({ a: 'ready' });
    await expect(answer('b', 'say two')).rejects.toMatchObject({ code: 'model_too_large' });
    expect(await engine('a').report()).toMatchObject({ pinned: true, state: 'ready' });
  });

  test('while a base starts, its progress is in the report', async () => {
    start({ measure: () => Promise.resolve(24 * mebibyte) });
    const answered = answer('a', 'say one');
    await poll(() => engine('a').report()).toMatchObject({
      state: 'starting',
      loading: { done_bytes: 24 * mebibyte, total_bytes: 128 * mebibyte },
    });
    expect(await answered).toBe('one');
  });

  test('a base that nobody asks for is unloaded after its time', async () => {
    start({ memory: { idleMs: 200 } });
    await answer('a', 'say one');
    await poll(states).toEqual({ a: 'stopped' });
    expect(await pidOf('a')).toBe(0);
    expect(engines.memory().reserved_bytes).toBe(0);
    expect(await answer('a', 'say again')).toBe('again');
  });
});

describe('what a base was found to take', () => {
  test('counts once it has answered: two fit where estimates allowed one', async () => {
    start({ measure: () => Promise.resolve(30 * mebibyte) });
    await answer('a', 'say one');
    await poll(() => engines.memory().reserved_bytes).toBe(30 * mebibyte);
    await engines.close();
    start({
      measure: () => Promise.resolve(30 * mebibyte),
      memory: { limitBytes: 160 * mebibyte },
    });
    await answer('a', 'say one');
    await poll(() => engines.memory().reserved_bytes).toBe(30 * mebibyte);
    await answer('b', 'say two');
    expect(await states()).toEqual({ a: 'ready', b: 'ready' });
  });

  test('counts from the start when it comes back, however little it has touched by then', async () => {
    const pids: number[] = [];
    const reserved: number[] = [];
    const measure = (pid: number) => {
      if (!pids.includes(pid)) pids.push(pid);
      if (pids.length > 1) reserved.push(engines.memory().reserved_bytes);
      return Promise.resolve(pid === pids[0] ? 80 * mebibyte : 5 * mebibyte);
    };
    start({ measure, memory: { idleMs: 400 } });
    await answer('a', 'say one');
    await poll(() => engines.memory().reserved_bytes).toBe(80 * mebibyte);
    await poll(states).toEqual({ a: 'stopped' });
    await engine('a').warm();
    await poll(() => reserved.length).toBeGreaterThan(5);
    expect(new Set(reserved.slice(0, 5))).toEqual(new Set([80 * mebibyte]));
  });

  test('one that takes more than a process may is killed and started again, with the reason', async () => {
    const held = new Map<number, number>();
    const log: string[] = [];
    start({
      measure: (pid) => Promise.resolve(held.get(pid) ?? 0),
      maxBytes: 98 * mebibyte,
      onLog: (line) => log.push(line),
    });
    const stream = answer('a', 'count 900 10');
    const refused = expect(stream).rejects.toThrow('serving.child_memory_limit allows 98.0 MiB');
    await poll(states).toEqual({ a: 'ready' });
    const pid = await pidOf('a');
    held.set(pid, 99 * mebibyte);
    await refused;
    expect(await answer('a', 'say back')).toBe('back');
    expect(await pidOf('a')).not.toBe(pid);
    expect(log.join()).toContain('it took 99.0 MiB');
  });
});

describe('two bases side by side', () => {
  const both = () => start({ watchdogMs: 400, memory: { limitBytes: 260 * mebibyte } });

  test('the death of one leaves the streams of the other whole', async () => {
    both();
    const [dying, living] = [answer('a', 'count 900 10'), answer('b', 'count 60 10')];
    const died = expect(dying).rejects.toMatchObject({
      code: 'engine_failed',
      message: expect.stringContaining('SIGKILL'),
    });
    await poll(states).toEqual({ a: 'ready', b: 'ready' });
    process.kill(await pidOf('a'), 'SIGKILL');
    await died;
    expect(await living).toBe(counted(60));
    expect(await answer('a', 'say back')).toBe('back');
  });

  test('one that is stopped in its tracks is killed by the watchdog; the other never notices', async () => {
    both();
    const [hanging, living] = [answer('a', 'count 900 10'), answer('b', 'count 100 10')];
    const died = expect(hanging).rejects.toThrow('it did not answer');
    await poll(states).toEqual({ a: 'ready', b: 'ready' });
    process.kill(await pidOf('a'), 'SIGSTOP');
    await died;
    expect(await living).toBe(counted(100));
    expect(await answer('a', 'say awake')).toBe('awake');
  });
});
