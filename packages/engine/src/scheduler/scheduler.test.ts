// The scheduler over the fake library, whose logits depend on every token in a sequence: a token fed twice,
// out of order, or of another tenant changes what a task says.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cutOf } from './prompt-cut.ts';
import { createFakeScheduler, createFakeTask, answerAlone } from './scheduler.fake.ts';
import type { FakeTask, FakeTaskOptions } from './scheduler.fake.ts';

const range = (length: number, offset = 0): number[] =>
  Array.from({ length }, (_, i) => (i * 7 + offset) % 250);

type Kit = ReturnType<typeof createFakeScheduler>;
let ids = 0;
function submit(kit: Kit, options: Omit<FakeTaskOptions, 'id'>): FakeTask {
  const task = createFakeTask({ id: `task ${ids++}`, ...options });
  kit.scheduler.submit(task);
  return task;
}
function ask(kit: Kit, options: Omit<FakeTaskOptions, 'id'>): FakeTask {
  const task = submit(kit, options);
  kit.run();
  return task;
}
/** Tokens decoded while `work` ran. */
function fedBy(kit: Kit, work: () => void): number {
  const before = kit.decodes.length;
  work();
  return kit.decodes.slice(before).reduce((sum, feeds) => sum + tokensOf(feeds), 0);
}
const tokensOf = (feeds: Kit['decodes'][number]): number =>
  feeds.reduce((sum, { tokens }) => sum + tokens.length, 0);

describe('the prefix cache', () => {
  const system = range(300);
  const question = (n: number): number[] => [...system, ...range(20, n)];

  it('computes a shared beginning once, and changes no answer', () => {
    const kit = createFakeScheduler();
    ask(kit, { prompt: question(1) });
    const task = ask(kit, { prompt: question(2) });
    expect(task.cached).toEqual([300]);
    expect(task.answer).toEqual(answerAlone({ id: 'x', prompt: question(2) }));
  });

  it('goes on with a conversation where its last question began', () => {
    const kit = createFakeScheduler();
    const first = ask(kit, { prompt: question(1), count: 100 });
    const next = [...first.tokens, ...range(10, 3)];
    const task = ask(kit, { prompt: next });
    // The answer was computed token by token: its numbers are not those of a prompt that is read.
    expect(task.cached).toEqual([cutOf(question(1).length)]);
    expect(task.answer).toEqual(answerAlone({ id: 'x', prompt: next }));
  });

  it('is passed over by who asks for that', () => {
    const kit = createFakeScheduler();
    ask(kit, { prompt: question(1), cacheable: false });
    expect(ask(kit, { prompt: question(1) }).cached).toEqual([0]);
    const fed = fedBy(kit, () => {
      expect(ask(kit, { prompt: question(1), cacheable: false, count: 1 }).cached).toEqual([]);
    });
    expect(fed).toBe(question(1).length);
    expect(ask(kit, { prompt: question(1) }).cached[0]).toBeGreaterThan(0);
  });

  it('is neither read nor left to others by who asks for that, beside one who computes the same', () => {
    const kit = createFakeScheduler();
    const options = { prompt: question(1), count: 1 };
    const fed = fedBy(kit, () => {
      submit(kit, options);
      submit(kit, { ...options, cacheable: false });
      kit.run();
    });
    expect(fed).toBe(2 * question(1).length);
  });

  it('computes what many want at once only once', () => {
    const kit = createFakeScheduler({ sequences: 8 });
    const tasks = Array.from({ length: 8 }, () => submit(kit, { prompt: question(5), count: 1 }));
    expect(fedBy(kit, () => kit.run())).toBeLessThan(question(5).length + 8 * 2);
    for (const task of tasks) expect(task.answer).toEqual(tasks[0]?.answer);
  });

  it('starts a copy anew when the one it waited for is cancelled', () => {
    const kit = createFakeScheduler({ sequences: 4 });
    const [first, second] = [0, 1].map(() => submit(kit, { prompt: question(6) }));
    kit.scheduler.step();
    kit.scheduler.cancel(first?.id ?? '');
    kit.run();
    expect(second?.answer).toEqual(answerAlone({ id: 'x', prompt: question(6) }));
  });

  it('outlives the sequence it was computed in', () => {
    const kit = createFakeScheduler({ sequences: 2 });
    ask(kit, { prompt: question(1) });
    for (let n = 0; n < 4; n++) ask(kit, { prompt: range(100, 20 + n), tenant: `t${n}` });
    expect(ask(kit, { prompt: question(2) }).cached).toEqual([300]);
  });

  it('forgets what was unused longest when its bytes are used up', () => {
    const kit = createFakeScheduler({ prefixCacheBytes: 700 });
    ask(kit, { prompt: question(1) });
    ask(kit, { prompt: range(250, 99), tenant: 'b' });
    ask(kit, { prompt: question(2) });
    ask(kit, { prompt: range(250, 55), tenant: 'c' });
    expect(kit.scheduler.stats.prefixCache.bytes).toBeLessThanOrEqual(700);
    expect(ask(kit, { prompt: range(250, 99), tenant: 'b' }).cached).toEqual([0]);
  });

  it('keeps nothing for an adapter that is unloaded', () => {
    const kit = createFakeScheduler();
    const adapter = kit.model.loadAdapter('a.gguf');
    ask(kit, { prompt: question(1), adapter });
    expect(ask(kit, { prompt: question(1) }).cached).toEqual([0]);
    expect(ask(kit, { prompt: question(2), adapter }).cached).toEqual([300]);
    kit.scheduler.forget(adapter);
    expect(ask(kit, { prompt: question(3), adapter }).cached).toEqual([0]);
  });

  it('cannot be told from a cold one by another tenant', () => {
    const prompt = question(7);
    const cold = createFakeScheduler();
    const alone = fedBy(cold, () => ask(cold, { prompt, tenant: 'spy' }));
    for (const secrets of [[prompt], [prompt, question(8)], [question(9), prompt.slice(0, 200)]]) {
      const kit = createFakeScheduler();
      for (const secret of secrets) ask(kit, { prompt: secret, tenant: 'victim' });
      const running = submit(kit, { prompt: [...prompt], tenant: 'victim', count: 50 });
      kit.scheduler.step();
      const spy = createFakeTask({ id: 'spy', tenant: 'spy', prompt });
      kit.scheduler.submit(spy);
      kit.scheduler.cancel(running.id);
      expect(fedBy(kit, () => kit.run())).toBe(alone);
      expect(spy.cached).toEqual([0]);
    }
  });
});

describe('fairness', () => {
  it('gives a tenant its first token in the step after it came, however much another has waiting', () => {
    const kit = createFakeScheduler({ sequences: 4 });
    for (let i = 0; i < 100; i++) submit(kit, { prompt: range(30, i), tenant: 'many', count: 50 });
    for (let i = 0; i < 20; i++) kit.scheduler.step();
    const task = submit(kit, { prompt: range(30, 123), tenant: 'one', count: 50 });
    kit.scheduler.step();
    expect(task.answer.length).toBe(1);
  });

  it('divides the sequences evenly between tenants, and who gives one back says the same', () => {
    const kit = createFakeScheduler({ sequences: 4 });
    const options = { prompt: range(40, 9), tenant: 'a', count: 60 };
    const first = Array.from({ length: 4 }, (_, i) =>
      submit(kit, { ...options, prompt: range(40, i) }),
    );
    for (let i = 0; i < 10; i++) kit.scheduler.step();
    const others = [1, 2].map((i) => submit(kit, { ...options, prompt: range(9, i), tenant: 'b' }));
    kit.scheduler.step();
    expect(others.map((task) => task.answer.length)).toEqual([1, 1]);
    kit.run();
    for (const [i, task] of first.entries())
      expect(task.answer).toEqual(answerAlone({ ...options, id: 'x', prompt: range(40, i) }));
  });

  it('interrupts also those who keep nothing, and computes them again', () => {
    const kit = createFakeScheduler({ sequences: 2, prefixCacheBytes: 0 });
    const tasks = [0, 1].map((i) => submit(kit, { prompt: range(80, i), tenant: 'a', count: 30 }));
    for (let i = 0; i < 8; i++) kit.scheduler.step();
    submit(kit, { prompt: range(20), tenant: 'b' });
    kit.run();
    for (const [i, task] of tasks.entries())
      expect(task.answer).toEqual(answerAlone({ id: 'x', prompt: range(80, i), count: 30 }));
  });
});

describe('warming up', () => {
  it('ends by itself, and is over with the first task', () => {
    const idle = createFakeScheduler();
    let decodes = 0;
    while (idle.scheduler.warmUp()) decodes++;
    expect(decodes).toBeGreaterThan(1);
    const kit = createFakeScheduler();
    const prompt = range(40);
    expect(kit.scheduler.warmUp()).toBe(true);
    const task = submit(kit, { prompt });
    expect(kit.scheduler.warmUp()).toBe(false);
    kit.run();
    expect(kit.scheduler.warmUp()).toBe(false);
    expect(task.answer).toEqual(answerAlone({ id: 'alone', prompt }));
    expect(ask(idle, { prompt }).answer).toEqual(task.answer);
  });
});

describe('the end of a task', () => {
  it('comes in the step in which its deadline passes, waiting or running', () => {
    const kit = createFakeScheduler({ sequences: 1 });
    const running = submit(kit, { prompt: range(9), deadline: performance.now() - 1 });
    const waiting = submit(kit, { prompt: range(9), deadline: performance.now() - 1 });
    const other = submit(kit, { prompt: range(9) });
    kit.scheduler.step();
    expect([running.ends, waiting.ends]).toEqual([['deadline'], ['deadline']]);
    kit.run();
    expect(other.ends).toEqual(['length']);
  });

  it('frees the sequence at once when it is cancelled', () => {
    const kit = createFakeScheduler({ sequences: 1 });
    const running = submit(kit, { prompt: range(9), count: 100 });
    const next = submit(kit, { prompt: range(5) });
    kit.scheduler.step();
    kit.scheduler.cancel(running.id);
    kit.scheduler.step();
    expect(next.answer.length).toBe(1);
  });

  it('by a failed decode leaves nothing in the cache', () => {
    const kit = createFakeScheduler();
    kit.library.controls.nextOutcome = 'failed';
    expect(ask(kit, { prompt: range(100) }).ends).toEqual(['engine_failed']);
    const again = ask(kit, { prompt: range(100) });
    expect(again.cached).toEqual([0]);
    expect(again.answer).toEqual(answerAlone({ id: 'x', prompt: range(100) }));
  });

  it('is refused with the time to come again when too many wait', () => {
    const kit = createFakeScheduler({ sequences: 1 });
    const fill = (): void => {
      for (let i = 0; i < 2000; i++) submit(kit, { prompt: range(5) });
    };
    expect(fill).toThrow(
      expect.objectContaining({
        code: 'overloaded',
        details: { retry_after_seconds: expect.any(Number) as number },
      }),
    );
  });
});

type Move =
  | { kind: 'submit'; tenant: number; base: number; length: number; tail: number; count: number }
  | { kind: 'cancel'; which: number }
  | { kind: 'step'; times: number }
  | { kind: 'fail' };

const move: fc.Arbitrary<Move> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('submit' as const),
      tenant: fc.nat(2),
      base: fc.nat(1),
      length: fc.integer({ min: 1, max: 200 }),
      tail: fc.nat(60),
      count: fc.integer({ min: 1, max: 20 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('cancel' as const), which: fc.nat(30) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('step' as const),
      times: fc.integer({ min: 1, max: 12 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('fail' as const) }) },
);

it('ends every task once with the answer it has alone, whatever happens', () => {
  const kits = fc.record({
    sequences: fc.integer({ min: 1, max: 5 }),
    prefixCacheBytes: fc.constantFrom(0, 300, 4096),
    speculates: fc.boolean(),
    batchTokens: fc.constantFrom(16, 128),
    // Apart, or together in a cache that holds little more than one of them.
    sharedTokens: fc.constantFrom(undefined, 300, 700),
  });
  fc.assert(
    fc.property(kits, fc.array(move, { minLength: 5, maxLength: 40 }), (options, moves) => {
      const { sharedTokens, ...rest } = options;
      const kit = createFakeScheduler({
        ...rest,
        ...(sharedTokens === undefined ? {} : { sharedTokens, sequenceTokens: 290 }),
      });
      kit.scheduler.warmUp();
      const tasks: { task: FakeTask; options: Omit<FakeTaskOptions, 'id'> }[] = [];
      for (const next of moves) {
        if (next.kind === 'submit') {
          const { tenant, base, length, tail, count } = next;
          const prompt = [...range(length, base), ...range(tail, 100 + tail)];
          const asked = { prompt, count, tenant: `tenant ${tenant}` };
          tasks.push({ task: submit(kit, asked), options: asked });
        } else if (next.kind === 'cancel') {
          kit.scheduler.cancel(tasks[next.which]?.task.id ?? '');
        } else if (next.kind === 'fail') {
          kit.library.controls.nextOutcome = 'failed';
        } else {
          for (let i = 0; i < next.times; i++) kit.scheduler.step();
        }
        expect(kit.scheduler.active).toBeLessThanOrEqual(options.sequences);
      }
      kit.run();
      const failed = moves.some(({ kind }) => kind === 'fail');
      const healthy = ['length', 'cancelled'];
      for (const { task, options: asked } of tasks) {
        const alone = answerAlone({ id: 'alone', ...asked });
        expect(task.ends).toHaveLength(1);
        expect(failed ? ['engine_failed', ...healthy] : healthy).toContain(task.ends[0]);
        const whole = task.ends[0] === 'length' ? alone.length : task.answer.length;
        expect(task.answer).toEqual(alone.slice(0, whole));
      }
    }),
    { numRuns: 80 },
  );
});
