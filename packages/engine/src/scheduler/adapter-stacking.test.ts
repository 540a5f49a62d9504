// Whatever shares a step, every task gets the logits it gets alone: through evictions, stacks of several
// sizes, adapters that no stack holds, adapters that are unloaded between steps.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CorralError } from '@corral/contracts';
import { createFakeLibrary } from '../llama-cpp/native-library.fake.ts';
import type { NativeAdapter, NativeContext } from '../llama-cpp/native-types.ts';
import type { PackedAdapter, StackPlan } from '../llama-cpp/stack-types.ts';
import { createAdapterStacking, type AdapterStacking } from './adapter-stacking.ts';
import type { Slot } from './sequence-task.ts';

const sizes = [32, 64, 128];
const plans = sizes.map((ranks): StackPlan => ({
  format: 'int8',
  ranks,
  targets: [],
  bytes: ranks,
  header: new Uint8Array(),
}));

/** Ranks of the adapters of a test; 200 fits no stack. */
const ranksOf = [16, 16, 8, 64, 5, 16, 32, 16, 16, 16, 200];

function packedOf(seed: number, rank: number): PackedAdapter {
  const part = { a: Uint8Array.of(seed, rank), b: Uint8Array.of(seed * 3 + 1) };
  return { format: 'int8', rank, bytes: 3, parts: new Map([['x', part]]) };
}

interface Setup {
  readonly context: NativeContext;
  readonly adapters: readonly NativeAdapter[];
  readonly stacking: AdapterStacking;
}

function setUp(maxBytes = 128, createStack?: () => never): Setup {
  const model = createFakeLibrary().loadModel('model.gguf');
  const context = model.createContext({
    sequenceTokens: 256,
    sequences: 16,
    batchTokens: 512,
    outputs: 512,
    threads: 1,
  });
  const adapters = ranksOf.map((_, i) => model.loadAdapter(`adapter-${i}.gguf`));
  const packed = new Map(
    adapters.map((adapter, i) => [adapter, packedOf(i + 1, ranksOf[i] ?? 0)] as const),
  );
  const stacking = createAdapterStacking({
    context,
    createStack: createStack ?? ((plan) => model.createStack(plan)),
    packed: (adapter) => {
      const found = packed.get(adapter);
      return found && found.rank <= 128 ? found : null;
    },
    native: (adapter) => adapter,
    planFor: (_, ranks) => plans.find((plan) => plan.ranks >= ranks) ?? null,
    rankCost: () => 0.003,
    layers: 30,
    maxBytes,
  });
  return { context, adapters, stacking };
}

interface Job {
  /** Index into `ranksOf`; −1 = the base. */
  readonly adapter: number;
  readonly length: number;
}

/** A slot whose task wants every row, and what it got. */
function slotOf({ adapter, length }: Job, sequence: number, adapters: readonly NativeAdapter[]) {
  const rows: number[] = [];
  let failed = false;
  const slot: Slot = {
    sequence,
    fed: 0,
    answered: 0,
    task: {
      id: String(sequence),
      tenant: 't',
      adapter: adapters[adapter] ?? null,
      tokens: Array.from({ length }, (_, i) => (sequence * 7 + i * 3) % 256),
      get finished() {
        return failed;
      },
      wantsLogits: () => true,
      acceptLogits: (_, row) => rows.push(row[0] ?? 0),
      cancel: () => {},
      fail: () => {
        failed = true;
      },
    },
  };
  return { slot, rows, failed: () => failed };
}

/** Feeds each job's next `counts[i]` tokens (0 = not in this step) step by step. */
function run(jobs: readonly Job[], steps: readonly number[][], setup = setUp()): number[][] {
  const slots = jobs.map((job, i) => slotOf(job, i, setup.adapters));
  for (const counts of steps) {
    const plan = slots.flatMap(({ slot }, i) => {
      const count = Math.min(counts[i] ?? 0, slot.task.tokens.length - slot.fed);
      return count > 0 ? [{ slot, count, drafts: [] }] : [];
    });
    if (plan.length > 0) setup.stacking.run(plan);
  }
  return slots.map(({ rows }) => rows);
}

const jobs = fc.array(
  fc.record({
    adapter: fc.integer({ min: -1, max: ranksOf.length - 1 }),
    length: fc.integer({ min: 1, max: 60 }),
  }),
  { minLength: 1, maxLength: 16 },
);
const steps = fc.array(
  fc.array(fc.constantFrom(0, 0, 1, 1, 1, 2, 30), { minLength: 16, maxLength: 16 }),
  { maxLength: 12 },
);

describe('createAdapterStacking', () => {
  it('gives every task what it gets alone', () => {
    fc.assert(
      fc.property(jobs, steps, fc.constantFrom(64, 128, 1024), (all, plan, maxBytes) => {
        const together = run(all, plan, setUp(maxBytes));
        for (const [i, rows] of together.entries()) {
          const only = plan.map((counts) => counts.map((count, j) => (i === j ? count : 0)));
          expect(rows).toEqual(run(all, only)[i]);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('decodes single tokens of different adapters at once', () => {
    const setup = setUp();
    const eight = [0, 1, 2, -1, 4, 5, 7, 8].map((adapter) => ({ adapter, length: 10 }));
    run(eight, [Array.from({ length: 8 }, () => 1)], setup);
    expect(setup.context.batch.size).toBe(8);
    for (const i of [0, 1, 2, 4, 5, 7, 8])
      expect(setup.stacking.isActive(setup.adapters[i] ?? { close: () => {} })).toBe(true);
    expect(setup.stacking.ranks).toBe(128);
  });

  it('feeds sequences in order of their ids, which llama.cpp computes at once', () => {
    const setup = setUp();
    const order: number[] = [];
    const { batch } = setup.context;
    const add = batch.add.bind(batch);
    batch.add = (token, position, sequence, output) => {
      order.push(sequence);
      add(token, position, sequence, output);
    };
    const all = [0, 1, 0, 1, -1, 0].map((adapter) => ({ adapter, length: 10 }));
    run(all, [[1, 1, 1, 1, 1, 1]], setup);
    expect(order).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it('goes over to a smaller stack, and to none, when that has become worth it', () => {
    const setup = setUp(1024);
    const both = [
      { adapter: 3, length: 200 },
      { adapter: 1, length: 200 },
      { adapter: -1, length: 200 },
    ];
    const slots = both.map((job, i) => slotOf(job, i, setup.adapters).slot);
    const feed = (...which: number[]): void =>
      setup.stacking.run(
        which.flatMap((i) => (slots[i] ? [{ slot: slots[i], count: 1, drafts: [] }] : [])),
      );
    feed(0, 1, 2);
    expect(setup.stacking.ranks).toBe(128);
    for (let i = 0; i < 100; i++) feed(1);
    expect(setup.stacking.ranks).toBe(32);
    for (let i = 0; i < 100; i++) feed(2);
    expect(setup.stacking.ranks).toBe(0);
  });

  it('switches adapters one after the other when a stack cannot be made', () => {
    const setup = setUp(128, () => {
      throw new CorralError('engine_failed', { params: { reason: 'the disk is full' } });
    });
    const all = [0, 1, -1, 0].map((adapter) => ({ adapter, length: 6 }));
    const steps = [
      [3, 1, 1, 1],
      [1, 1, 1, 1],
    ];
    const rows = run(all, steps, setup);
    expect(setup.stacking.failure).toMatch(/disk is full/);
    expect(rows.map((each) => each.length)).toEqual([4, 2, 2, 2]);
  });

  it('forgets an adapter that is freed', () => {
    const setup = setUp();
    run([{ adapter: 0, length: 4 }], [[1]], setup);
    const [first] = setup.adapters;
    if (!first) throw new Error('there is no adapter');
    setup.stacking.forget(first);
    expect(setup.stacking.isActive(first)).toBe(false);
    expect(setup.stacking.bytes).toBeGreaterThan(0);
    setup.stacking.reset();
    expect(setup.stacking.bytes).toBe(0);
  });
});
