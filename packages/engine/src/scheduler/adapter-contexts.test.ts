// With a context for each adapter every task says what it says alone: through side contexts that are full, given
// to others or too small, with prompts found in the cache, tasks cancelled and adapters unloaded.
import { CorralError } from '@corral/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createFakeLibrary } from '../llama-cpp/native-library.fake.ts';
import type { NativeContext } from '../llama-cpp/native-types.ts';
import { createAdapterContexts } from './adapter-contexts.ts';
import { Scheduler } from './scheduler.ts';
import { createFakeTask, type FakeTask } from './scheduler.fake.ts';
import { createSequencePlaces } from './sequence-places.ts';

const adapterCount = 6;

function refuse(): never {
  throw new CorralError('engine_failed', { params: { reason: 'no context could be made' } });
}

function setUp({
  maxSeats = 8,
  sequences = 6,
  memory = 100,
  outputs = 64,
  without = (): null => null,
} = {}) {
  const library = createFakeLibrary();
  const model = library.loadModel('model.gguf');
  const create = (wanted: number): NativeContext =>
    model.createContext({
      sequenceTokens: 512,
      sequences: wanted,
      batchTokens: 128,
      outputs,
      threads: 1,
    });
  const main = create(sequences);
  const places = createSequencePlaces(main);
  let opened = 0;
  const contexts = createAdapterContexts({
    places,
    native: (adapter) => adapter,
    maxSeats,
    open: (seats) => (opened++ < memory ? create(seats) : without()),
  });
  const adapters = Array.from({ length: adapterCount }, (_, i) =>
    model.loadAdapter(`adapter-${i}.gguf`),
  );
  const scheduler = new Scheduler(places.context, { strategy: contexts, prefixCacheBytes: 4096 });
  const run = (steps = 10_000): void => {
    for (let i = 0; scheduler.active + scheduler.queued > 0 && i < steps; i++) scheduler.step();
  };
  return { scheduler, contexts, adapters, run, main, opened: () => opened };
}

interface Job {
  /** −1 = the base. */
  readonly adapter: number;
  readonly prompt: number;
  readonly length: number;
  readonly count: number;
  /** Steps before it comes, after the one before. */
  readonly after: number;
  readonly cancelled: boolean;
}

type Setup = ReturnType<typeof setUp>;

/** Prompts of one number begin alike. */
function taskOf(
  { adapters }: Setup,
  { adapter, prompt, length, count }: Job,
  id: number,
): FakeTask {
  return createFakeTask({
    id: `task ${id}`,
    prompt: Array.from({ length }, (_, i) => (prompt * 50 + i * 3) % 256),
    count,
    adapter: adapters[adapter] ?? null,
  });
}

function submit(setup: Setup, jobs: readonly Job[]): FakeTask[] {
  return jobs.map((job, i) => {
    setup.run(job.after);
    const task = taskOf(setup, job, i);
    setup.scheduler.submit(task);
    if (job.cancelled) {
      setup.run(2);
      setup.scheduler.cancel(task.id);
    }
    return task;
  });
}

const together = (jobs: readonly Job[], setup: Setup): FakeTask[] => {
  const tasks = submit(setup, jobs);
  setup.run();
  return tasks;
};

const jobsOf = fc.array(
  fc.record({
    adapter: fc.integer({ min: -1, max: adapterCount - 1 }),
    prompt: fc.integer({ min: 0, max: 2 }),
    length: fc.integer({ min: 1, max: 150 }),
    count: fc.integer({ min: 1, max: 40 }),
    after: fc.constantFrom(0, 0, 1, 5, 40),
    cancelled: fc.constantFrom(false, false, false, true),
  }),
  { minLength: 1, maxLength: 14 },
);

const job = (adapter: number, changes: Partial<Job> = {}): Job => ({
  adapter,
  prompt: 0,
  length: 20,
  count: 10,
  after: 0,
  cancelled: false,
  ...changes,
});

describe('createAdapterContexts', () => {
  it('gives every task what it gets alone', () => {
    fc.assert(
      fc.property(
        jobsOf,
        fc.constantFrom(0, 1, 2, 4, 8),
        fc.constantFrom(1, 3, 100),
        fc.constantFrom(3, 64),
        (jobs, maxSeats, memory, outputs) => {
          const setup = setUp({ maxSeats, memory, outputs });
          const tasks = together(jobs, setup);
          expect(setup.contexts.seats).toBeLessThanOrEqual(maxSeats);
          for (const [i, task] of tasks.entries()) {
            const [alone] = together([{ ...(jobs[i] ?? job(0)), cancelled: false }], setUp());
            const expected = alone?.answer.slice(0, task.answer.length);
            expect(task.answer).toEqual(expected);
            const isWhole = task.answer.length === jobs[i]?.count;
            expect(task.ends).toEqual([isWhole ? 'length' : 'cancelled']);
            expect(isWhole || jobs[i]?.cancelled).toBe(true);
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  it('switches nothing once every adapter has its context', () => {
    const setup = setUp();
    const jobs = [0, 1, 2, -1].map((adapter) => job(adapter, { count: 50 }));
    const tasks = submit(setup, jobs);
    setup.run(10);
    const { main } = setup;
    let switches = 0;
    let on: unknown = main;
    main.useAdapter = (adapter) => {
      if (adapter !== on) switches++;
      on = adapter;
    };
    setup.run();
    expect(tasks.map(({ answer }) => answer.length)).toEqual([50, 50, 50, 50]);
    expect(switches).toBe(1);
    expect([setup.contexts.count, setup.contexts.seats]).toEqual([3, 3]);
  });

  it('gives an adapter with more streams a larger context', () => {
    const setup = setUp();
    together([job(0, { count: 100 }), job(1), job(1), job(1)], setup);
    expect(setup.contexts.count).toBe(1);
    expect(setup.contexts.seats).toBe(4);
  });

  it('gives contexts that are not used to other adapters', () => {
    const setup = setUp({ maxSeats: 2 });
    for (const pair of [
      [0, 1],
      [2, 3],
      [4, 5],
    ])
      together(
        pair.map((adapter) => job(adapter, { count: 30 })),
        setup,
      );
    expect(setup.contexts.count).toBeLessThanOrEqual(2);
    expect(setup.adapters.filter((adapter) => setup.contexts.isActive(adapter))).toContain(
      setup.adapters[5],
    );
  });

  it.each([
    ['is said to be none', () => null],
    ['is found to be none', () => refuse()],
  ])('asks for memory once when there %s', (_, without) => {
    const setup = setUp({ memory: 0, without });
    together(
      [0, 1, 2].map((adapter) => job(adapter)),
      setup,
    );
    expect(setup.opened()).toBe(1);
    expect(setup.contexts.seats).toBe(0);
  });

  it('forgets an adapter that is freed', () => {
    const setup = setUp();
    together([job(0), job(1)], setup);
    for (const adapter of setup.adapters) {
      setup.scheduler.forget(adapter);
      adapter.close();
      expect(setup.contexts.isActive(adapter)).toBe(false);
    }
    const [base] = together([job(-1)], setup);
    expect(base?.answer).toEqual(together([job(-1)], setUp())[0]?.answer);
  });

  it('goes on where nothing can be carried back to the main context', () => {
    const setup = setUp({ maxSeats: 1 });
    setup.main.restore = () => false;
    // The side context keeps the prompt of adapter 1 when adapter 2 wants it.
    const jobs = [job(0, { count: 100 }), job(1, { length: 80 }), job(2, { after: 40 })];
    const tasks = together(jobs, setup);
    expect(tasks.map(({ finished }) => finished)).toEqual([true, true, true]);
    expect(tasks[2]?.answer).toEqual(together([job(2)], setUp())[0]?.answer);
  });

  it('finds prompts again that lie in a side context', () => {
    const setup = setUp();
    together([job(0, { count: 40 }), job(1, { length: 150 })], setup);
    const [again] = together([job(1, { length: 150 })], setup);
    expect(again?.cached[0]).toBeGreaterThan(60);
  });
});
