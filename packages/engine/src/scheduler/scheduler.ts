// Continuous batching: tasks take a sequence of the cache when one is free, every step feeds all of them,
// and they leave when they are finished. Synchronous: `step` blocks for one decode. Knows neither text
// nor sampling (sequence-task.ts), nor how adapters are mixed (adapter-switching.ts).
import { CorralError } from '@corral/contracts';
import type { NativeAdapter, NativeContext } from '../llama-cpp/native-types.ts';
import { createAdapterSwitching } from './adapter-switching.ts';
import type { DecodeStrategy } from './decode-strategy.ts';
import type { SequenceTask, Slot } from './sequence-task.ts';
import { createStepBudget, type StepBudget } from './step-budget.ts';
import { planStep } from './step-plan.ts';
import { createTenantQueue } from './tenant-queue.ts';

/** Waiting tasks beyond this are refused: nobody waits for the thousandth place. */
const maxQueued = 1024;

/** Enough to tell a small model from a large one, and quick on both. */
const warmUpTokens = 16;

export class Scheduler {
  readonly #context: NativeContext;
  readonly #strategy: DecodeStrategy;
  readonly #budget: StepBudget;
  readonly #queue = createTenantQueue<SequenceTask>();
  readonly #slots: Slot[] = [];
  /** Sequences that nobody holds; the lowest is given first. */
  readonly #free: number[];
  #steps = 0;

  constructor(context: NativeContext, strategy: DecodeStrategy = createAdapterSwitching(context)) {
    this.#context = context;
    this.#strategy = strategy;
    this.#budget = createStepBudget(context.batch.capacity);
    this.#free = Array.from({ length: context.sequences }, (_, i) => context.sequences - 1 - i);
  }

  get active(): number {
    return this.#slots.length;
  }

  get queued(): number {
    return this.#queue.size;
  }

  get steps(): number {
    return this.#steps;
  }

  /** Reads the weights once and learns how fast the model is. Before the first task. */
  warmUp(): void {
    const { batch, sequenceTokens } = this.#context;
    const count = Math.min(warmUpTokens, batch.capacity, sequenceTokens);
    batch.clear();
    for (let i = 0; i < count; i++) batch.add(0, i, 0, i === count - 1);
    // The first decode waits for the disk; the second shows the speed.
    for (const measured of [false, true]) {
      const start = performance.now();
      this.#context.decode();
      if (measured) this.#budget.record(count, performance.now() - start);
      this.#context.truncate(0, 0);
    }
  }

  /** Throws CorralError `overloaded` when the queue is full, `conflict` when the id is in use. */
  submit(task: SequenceTask): void {
    if (this.#tasks().some(({ id }) => id === task.id))
      throw new CorralError('conflict', {
        params: { reason: `a request "${task.id}" is already running` },
      });
    if (this.#queue.size >= maxQueued)
      throw new CorralError('overloaded', {
        params: { reason: `${this.#queue.size} requests are waiting` },
      });
    this.#queue.push(task.tenant, task);
  }

  /** Ends a task at once, waiting or running; false when there is none of that id. */
  cancel(id: string): boolean {
    const task =
      this.#queue.remove((waiting) => waiting.id === id) ??
      this.#slots.find((slot) => slot.task.id === id)?.task;
    if (!task) return false;
    task.cancel();
    this.#sweep();
    return true;
  }

  /** One decode for all running tasks. Does nothing when there are none. */
  step(): void {
    this.#admit();
    if (this.#slots.length === 0) return;
    // Every running sequence finds room for its token.
    const tokens = Math.max(this.#budget.tokens, this.#slots.length);
    const plan = planStep(this.#slots, { tokens, outputs: this.#context.outputs });
    const fed = plan.reduce((sum, { count }) => sum + count, 0);
    const start = performance.now();
    this.#strategy.run(plan);
    this.#budget.record(fed, performance.now() - start);
    this.#steps++;
    this.#sweep();
  }

  /** Tasks, waiting or running, that use this adapter. */
  users(adapter: NativeAdapter): number {
    return this.#tasks().filter((task) => task.adapter === adapter).length;
  }

  /** Must be called before an adapter is freed. */
  forget(adapter: NativeAdapter): void {
    this.#strategy.forget(adapter);
  }

  #tasks(): SequenceTask[] {
    return [...this.#slots.map((slot) => slot.task), ...this.#queue];
  }

  #admit(): void {
    for (let sequence = this.#free.at(-1); sequence !== undefined; sequence = this.#free.at(-1)) {
      const task = this.#queue.shift();
      if (!task) return;
      this.#free.pop();
      this.#slots.push({ task, sequence, fed: 0, answered: 0 });
    }
  }

  /** Frees the sequences of finished tasks. */
  #sweep(): void {
    const finished = this.#slots.filter(({ task }) => task.finished);
    for (const slot of finished) {
      this.#context.truncate(slot.sequence, 0);
      this.#free.push(slot.sequence);
      this.#slots.splice(this.#slots.indexOf(slot), 1);
    }
  }
}
