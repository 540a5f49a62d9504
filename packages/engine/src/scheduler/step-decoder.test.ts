// Steps of streams in the shape that costs least: whoever is decoded beside whom, every stream says what it says
// alone, and idle sequences that filled a tile hold what they held.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createFakeLibrary } from '../llama-cpp/native-library.fake.ts';
import { createAdapterSwitching } from './adapter-switching.ts';
import { answerAlone, createFakeTask } from './scheduler.fake.ts';
import { SequencePool } from './sequence-pool.ts';
import type { Slot } from './sequence-task.ts';
import { createStepDecoder } from './step-decoder.ts';
import type { PlannedFeed } from './step-feed.ts';

const count = 6;
const promptOf = (i: number): number[] =>
  Array.from({ length: 20 }, (_, j) => (i * 7 + j * 3) % 90);

/** Streams at the given sequences of 16; sequence 15 is idle and holds a prompt. */
function setUp(sequences: readonly number[], sharedTokens?: number) {
  const context = createFakeLibrary()
    .loadModel('model.gguf')
    .createContext({
      ...{ sequenceTokens: 64, sequences: 16, batchTokens: 64, outputs: 64, threads: 1 },
      ...(sharedTokens === undefined ? {} : { sharedTokens }),
    });
  const strategy = createAdapterSwitching(context);
  const pool = new SequencePool({
    memory: context,
    sequences: 16,
    maxBytes: 4096,
    bytesPerToken: 1,
  });
  while (pool.lend() !== null);
  const feed = (sequence: number, i: number): Slot => {
    const task = createFakeTask({ id: String(i), prompt: promptOf(i), count });
    const slot = { task, sequence, fed: 0, answered: 0 };
    pool.grow(sequence, 20);
    strategy.run([{ slot, count: 20, drafts: [] }]);
    return slot;
  };
  const slots = sequences.map(feed);
  const keeper = { namespace: 'n', owner: null, smallFrom: 0 };
  feed(15, 99);
  pool.giveBack(15, { ...keeper, tokens: Int32Array.from(promptOf(99)) });
  for (let i = 0; i < 15; i++) if (!sequences.includes(i)) pool.giveBack(i, null);
  return { context, strategy, pool, slots };
}

/** Feeds a token and `guesses` wrong ones to each stream until all have said everything; the sizes of decodes. */
function runAll(
  { context, strategy, pool, slots }: ReturnType<typeof setUp>,
  cost: (rows: number) => number,
  guesses = 0,
): number[] {
  const sizes: number[] = [];
  const decoder = createStepDecoder({
    context,
    pool,
    costs: { atBest: cost, estimate: cost, record: (rows) => sizes.push(rows) },
    strategy,
  });
  for (;;) {
    const left = slots.filter(({ task }) => !task.finished);
    if (left.length === 0) return sizes;
    const plan = left.map((slot): PlannedFeed => {
      pool.grow(slot.sequence, 1 + guesses);
      return { slot, count: 1, drafts: Array.from({ length: guesses }, () => 255) };
    });
    decoder.run(plan);
    for (const { sequence, fed } of left) pool.truncate(sequence, fed);
  }
}

const tiles = (rows: number): number => Math.ceil(rows / 4) * 4;

it('fills a tile with idle sequences and forgets what they were given', () => {
  const kit = setUp([12, 13, 14]);
  expect(new Set(runAll(kit, (rows) => (rows === 4 ? 1 : 100)))).toEqual(new Set([4]));
  expect(kit.slots.map(({ task }) => task.tokens.slice(20))).toEqual(
    [0, 1, 2].map((i) => answerAlone({ id: 'x', prompt: promptOf(i), count })),
  );
  const query = { namespace: 'n', owner: null, limit: 19, cut: 0 };
  expect(kit.pool.stats.entries).toBe(1);
  const lent = kit.pool.lendFilled({ ...query, tokens: promptOf(99) }, []);
  expect(lent).toMatchObject({ sequence: 15, filled: 19 });
  const task = createFakeTask({ id: 'y', prompt: promptOf(99), count });
  kit.slots.splice(0, 3, { task, sequence: 15, fed: 19, answered: 0 });
  runAll(kit, tiles);
  expect(task.answer).toEqual(answerAlone({ id: 'z', prompt: promptOf(99), count }));
});

it('says of every stream what it says alone, in any shape and with any guesses', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.nat(14), { minLength: 1, maxLength: 10 }),
      fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 64, maxLength: 64 }),
      fc.nat(2),
      fc.constantFrom(undefined, 400, 1000),
      (sequences, ms, guesses, sharedTokens) => {
        const kit = setUp(sequences, sharedTokens);
        runAll(kit, (rows) => ms[(rows - 1) % ms.length] ?? 1, guesses);
        for (const [i, { task }] of kit.slots.entries())
          expect(task.tokens.slice(20)).toEqual(
            answerAlone({ id: 'x', prompt: promptOf(i), count }),
          );
      },
    ),
    { numRuns: 40 },
  );
});
