// A scheduler over the fake library, with greedy tasks and what tests ask of it: which tokens were fed, in
// which order, for whom, and what a task would have said alone.
import type { CorralError } from '@corral/contracts';
import { createFakeLibrary } from '../llama-cpp/native-library.fake.ts';
import type { NativeAdapter, NativeContext } from '../llama-cpp/native-types.ts';
import { argmax } from '../sampling/softmax.ts';
import { Scheduler, type SchedulerOptions } from './scheduler.ts';
import type { SequenceTask } from './sequence-task.ts';

export interface FakeTaskOptions {
  readonly id: string;
  readonly tenant?: string;
  readonly prompt: readonly number[];
  readonly count?: number;
  readonly adapter?: NativeAdapter | null;
  readonly cacheable?: boolean;
  readonly deadline?: number | null;
}

export interface FakeTask extends SequenceTask {
  readonly tokens: number[];
  /** How it ended; each end that was told. */
  readonly ends: string[];
  readonly cached: number[];
  readonly answer: number[];
}

/** Greedy over the printable bytes, so that it goes on to its end. */
export function createFakeTask(options: FakeTaskOptions): FakeTask {
  const { id, tenant = 't', prompt, count = 8, adapter = null, cacheable = true } = options;
  const tokens = [...prompt];
  const ends: string[] = [];
  const cached: number[] = [];
  const answered = new Set<number>();
  const end = (how: string): void => {
    if (ends.length === 0) ends.push(how);
  };
  return {
    id,
    tenant,
    adapter,
    tokens,
    ends,
    cached,
    cacheable,
    speculative: true,
    maxTokens: prompt.length + count,
    deadline: options.deadline ?? null,
    get answer() {
      return tokens.slice(prompt.length);
    },
    get finished() {
      return ends.length > 0;
    },
    wantsLogits: (position) => position >= prompt.length - 1,
    acceptLogits: (position, row) => {
      if (answered.has(position)) throw new Error(`${id}: position ${position} answered twice`);
      if (position !== tokens.length - 1)
        throw new Error(`${id}: position ${position} is not next`);
      answered.add(position);
      tokens.push(argmax(row));
      if (tokens.length === prompt.length + count) end('length');
    },
    reused: (length) => cached.push(length),
    cancel: () => end('cancelled'),
    expire: () => end('deadline'),
    fail: (error: CorralError) => end(error.code),
  };
}

export interface FakeSchedulerOptions extends SchedulerOptions {
  readonly sequences?: number;
  readonly batchTokens?: number;
  readonly sequenceTokens?: number;
  readonly sharedTokens?: number;
}

/** One decode's tokens of one sequence. */
interface FakeFeed {
  readonly sequence: number;
  readonly from: number;
  readonly tokens: readonly number[];
}

export function createFakeScheduler({
  sequences = 4,
  batchTokens = 128,
  sequenceTokens = 512,
  sharedTokens,
  ...options
}: FakeSchedulerOptions = {}) {
  const library = createFakeLibrary();
  const model = library.loadModel('model.gguf');
  const context: NativeContext = model.createContext({
    sequenceTokens,
    sequences,
    batchTokens,
    outputs: 64,
    threads: 1,
    ...(sharedTokens === undefined ? {} : { sharedTokens }),
  });
  const decodes: FakeFeed[][] = [];
  const entries: { token: number; position: number; sequence: number }[] = [];
  const { batch } = context;
  const watched: NativeContext = {
    ...context,
    batch: {
      capacity: batch.capacity,
      get size() {
        return batch.size;
      },
      get outputs() {
        return batch.outputs;
      },
      clear: () => {
        batch.clear();
        entries.splice(0);
      },
      add: (token, position, sequence, output) => {
        batch.add(token, position, sequence, output);
        entries.push({ token, position, sequence });
      },
    },
    decode: () => {
      const bySequence = Map.groupBy(entries, ({ sequence }) => sequence);
      decodes.push(
        [...bySequence].map(([sequence, of]) => ({
          sequence,
          from: of[0]?.position ?? 0,
          tokens: of.map(({ token }) => token),
        })),
      );
      return context.decode();
    },
  };
  const scheduler = new Scheduler(watched, { prefixCacheBytes: 4096, ...options });
  const run = (most = 10_000): void => {
    for (let i = 0; scheduler.active + scheduler.queued > 0; i++) {
      if (i === most) throw new Error('the scheduler does not come to an end');
      scheduler.step();
    }
  };
  return { scheduler, library, model, decodes, run };
}

/** What a task says with nobody beside it and nothing cached. */
export function answerAlone(options: FakeTaskOptions): number[] {
  const { scheduler, run } = createFakeScheduler({ prefixCacheBytes: 0 });
  const task = createFakeTask(options);
  scheduler.submit(task);
  run();
  return task.answer;
}
