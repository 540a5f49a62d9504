// Continuous batching: tasks take a sequence of the cache when one is free, every step feeds all of them,
// and they leave when they are finished. Synchronous: `step` blocks for one decode. Knows neither text
// nor sampling (sequence-task.ts), nor how adapters are mixed (adapter-switching.ts).
import { CorralError } from '@corral/contracts';
import type { NativeAdapter, NativeContext } from '../llama-cpp/native-types.ts';
import { createAdapterSwitching } from './adapter-switching.ts';
import type { SequenceTask, Slot } from './sequence-task.ts';
import { createStepBudget } from './step-budget.ts';
import { planStep } from './step-plan.ts';
import { createTenantQueue } from './tenant-queue.ts';

/** Waiting tasks beyond this are refused: nobody waits for the thousandth place. */
const maxQueued = 1024;

/** Enough to tell a small model from a large one, and quick on both. */
const warmUpTokens = 16;

export interface Scheduler {
  readonly active: number;
  readonly queued: number;
  readonly steps: number;
  /** Throws CorralError `overloaded` when the queue is full, `conflict` when the id is in use. */
  submit(task: SequenceTask): void;
  /** Ends a task at once, waiting or running; false when there is none of that id. */
  cancel(id: string): boolean;
  /** Reads the weights once and learns how fast the model is. Before the first task. */
  warmUp(): void;
  /** One decode for all running tasks. Does nothing when there are none. */
  step(): void;
  /** Tasks, waiting or running, that use this adapter. */
  users(adapter: NativeAdapter): number;
  /** Must be called before an adapter is freed. */
  forget(adapter: NativeAdapter): void;
}

export function createScheduler(context: NativeContext): Scheduler {
  const queue = createTenantQueue<SequenceTask>();
  const strategy = createAdapterSwitching(context);
  const free = Array.from({ length: context.sequences }, (_, i) => context.sequences - 1 - i);
  const slots: Slot[] = [];
  const budget = createStepBudget(context.batch.capacity);
  let steps = 0;

  const tasks = (): SequenceTask[] => [...slots.map((slot) => slot.task), ...queue];

  function admit(): void {
    while (free.length > 0) {
      const task = queue.shift();
      if (!task) return;
      slots.push({ task, sequence: free.pop() as number, fed: 0 });
    }
  }

  /** Frees the sequences of finished tasks. */
  function sweep(): void {
    for (let i = slots.length - 1; i >= 0; i--) {
      const slot = slots[i] as Slot;
      if (!slot.task.finished) continue;
      context.truncate(slot.sequence, 0);
      free.push(slot.sequence);
      slots.splice(i, 1);
    }
  }

  return {
    get active() {
      return slots.length;
    },
    get queued() {
      return queue.size;
    },
    get steps() {
      return steps;
    },
    submit: (task) => {
      if (tasks().some(({ id }) => id === task.id))
        throw new CorralError('conflict', {
          params: { reason: `a request "${task.id}" is already running` },
        });
      if (queue.size >= maxQueued)
        throw new CorralError('overloaded', {
          params: { reason: `${queue.size} requests are waiting` },
        });
      queue.push(task.tenant, task);
    },
    cancel: (id) => {
      const task =
        queue.remove((waiting) => waiting.id === id) ??
        slots.find((slot) => slot.task.id === id)?.task;
      if (!task) return false;
      task.cancel();
      sweep();
      return true;
    },
    warmUp: () => {
      const { batch } = context;
      const count = Math.min(warmUpTokens, batch.capacity, context.sequenceTokens);
      batch.clear();
      for (let i = 0; i < count; i++) batch.add(0, i, 0, i === count - 1);
      // The first decode waits for the disk; the second shows the speed.
      for (const measured of [false, true]) {
        const start = performance.now();
        context.decode();
        if (measured) budget.record(count, performance.now() - start);
        context.truncate(0, 0);
      }
    },
    step: () => {
      admit();
      if (slots.length === 0) return;
      // Every running sequence finds room for its token.
      const tokens = Math.max(budget.tokens, slots.length);
      const plan = planStep(slots, { tokens, outputs: context.outputs });
      const start = performance.now();
      strategy.run(plan);
      const fed = plan.reduce((sum, { count }) => sum + count, 0);
      budget.record(fed, performance.now() - start);
      steps++;
      sweep();
    },
    users: (adapter) => tasks().filter((task) => task.adapter === adapter).length,
    forget: (adapter) => strategy.forget(adapter),
  };
}
