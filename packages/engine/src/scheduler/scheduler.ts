// Continuous batching: tasks take a sequence of the cache when one is free, every step feeds some of them,
// and they leave when they are finished. Synchronous: `step` blocks for one decode. Knows neither text nor
// sampling (sequence-task.ts), what a step feeds (step-plan.ts), what sequences hold (sequence-pool.ts),
// nor how adapters are mixed (decode-strategy.ts).
import { CorralError } from '@corral/contracts';
import type { NativeAdapter, NativeContext } from '../llama-cpp/native-types.ts';
import type { PrefixFiles } from '../prefix-files.ts';
import { createAdapterSwitching } from './adapter-switching.ts';
import type { DecodeStrategy } from './decode-strategy.ts';
import { createNamespaces } from './namespaces.ts';
import { cutOf, largePiece, smallestBatch } from './prompt-cut.ts';
import {
  isComing,
  queryOf,
  sourcesOf,
  type ComingSequence,
  type RunningSlot,
} from './running-slot.ts';
import { SequencePool, type Leaving } from './sequence-pool.ts';
import type { SequenceTask } from './sequence-task.ts';
import { createServiceTimes } from './service-times.ts';
import { createRowCosts } from './row-costs.ts';
import { createSpeculation, type Speculation } from './speculation.ts';
import { createStepCosts } from './step-costs.ts';
import { createStepDecoder, type StepDecoder } from './step-decoder.ts';
import type { PlannedFeed } from './step-feed.ts';
import { createStepPlanner, type StepPlanner } from './step-plan.ts';
import { createTenantQueue } from './tenant-queue.ts';

/** Waiting tasks beyond this are refused: nobody waits for the thousandth place. */
const maxQueued = 1024;

/** Tokens of each: enough to tell a small model from a large one, and quick on both. */
const warmUps = [16, 16, 1];

/** Tokens of an answer that must find room in a shared cache before a task is begun. */
const answerRoom = 32;

/** What is remembered of a task that lost its sequence to another tenant. */
interface Interrupted {
  readonly answered: number;
  readonly cut: number;
}

export interface SchedulerOptions {
  readonly strategy?: DecodeStrategy;
  /** Bytes of keys and values kept for prompts to come; 0 = none. */
  readonly prefixCacheBytes?: number;
  readonly cacheBytesPerToken?: number;
  /** Where the prefix cache outlives the process. */
  readonly prefixFiles?: PrefixFiles | undefined;
  /** Tasks that run side by side; default: as many as the context has sequences. */
  readonly slots?: number;
  /** Guess tokens ahead where it pays. */
  readonly speculates?: boolean;
}

export interface SchedulerStats {
  readonly prefixCache: {
    readonly entries: number;
    readonly bytes: number;
    readonly hits: number;
    readonly misses: number;
    readonly tokens_reused: number;
  };
  readonly speculation: { readonly drafted: number; readonly accepted: number };
  /** Time of steps outside the decodes. */
  readonly overheadMs: number;
}

export class Scheduler {
  readonly #context: NativeContext;
  readonly #strategy: DecodeStrategy;
  readonly #decoder: StepDecoder;
  readonly #costs = createStepCosts();
  readonly #speculation: Speculation;
  readonly #planner: StepPlanner;
  readonly #pool: SequencePool;
  readonly #namespaces = createNamespaces();
  readonly #times = createServiceTimes();
  readonly #queue = createTenantQueue<SequenceTask>();
  readonly #slots: RunningSlot[] = [];
  readonly #places: number;
  readonly #interrupted = new WeakMap<SequenceTask, Interrupted>();
  #steps = 0;
  #decodes = 0;
  #hits = 0;
  #misses = 0;
  #reused = 0;
  #overheadMs = 0;

  constructor(context: NativeContext, options: SchedulerOptions = {}) {
    const { strategy = createAdapterSwitching(context) } = options;
    this.#context = context;
    this.#strategy = strategy;
    this.#places = options.slots ?? context.sequences;
    const limits = { tokens: context.batch.capacity, outputs: context.outputs };
    const rowCosts = createRowCosts();
    const rows = Math.min(limits.tokens, limits.outputs);
    const apart = context.sharedTokens === null;
    this.#speculation = createSpeculation({ costs: rowCosts, apart, rows });
    const speculates = options.speculates === true && context.partial;
    const draft = speculates ? { draft: this.#speculation.draft } : {};
    this.#planner = createStepPlanner({ limits, costs: this.#costs, ...draft });
    this.#pool = new SequencePool({
      memory: context,
      sequences: context.sequences,
      maxBytes: options.prefixCacheBytes ?? 0,
      bytesPerToken: options.cacheBytesPerToken ?? 1,
      files: options.prefixFiles,
    });
    this.#decoder = createStepDecoder({ context, strategy, pool: this.#pool, costs: rowCosts });
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

  get stats(): SchedulerStats {
    const counts = { hits: this.#hits, misses: this.#misses, tokens_reused: this.#reused };
    return {
      prefixCache: { ...this.#pool.stats, ...counts },
      speculation: this.#speculation.stats,
      overheadMs: this.#overheadMs,
    };
  }

  /**
   * One of the decodes that read the weights and learn how fast the model is, while nobody waits; false when
   * there is none left, as after the first task, whose decodes have told as much.
   */
  warmUp(): boolean {
    const { batch, sequenceTokens } = this.#context;
    const wanted = warmUps[this.#decodes];
    if (wanted === undefined || this.#steps > 0 || this.queued > 0) return false;
    const count = Math.min(wanted, batch.capacity, sequenceTokens);
    batch.clear();
    for (let i = 0; i < count; i++) batch.add(0, i, 0, i === count - 1);
    const start = performance.now();
    this.#context.decode();
    this.#learn(count, performance.now() - start);
    this.#context.truncate(0, 0);
    return true;
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
        details: {
          retry_after_seconds: this.#times.secondsUntilFree(this.#queue.size, this.#places),
        },
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
    this.#dropInterrupted(task);
    this.#sweep();
    return true;
  }

  /** One decode for the running tasks. Does nothing when there are none. */
  step(): void {
    const start = performance.now();
    this.#expire(start);
    this.#admit(start);
    this.#resolveWaiting();
    const decodeMs = this.#context.decodeMs;
    const plan = this.#planWithRoom();
    if (plan.length > 0) this.#decode(plan);
    this.#sweep();
    this.#overheadMs += performance.now() - start - (this.#context.decodeMs - decodeMs);
  }

  /** Writes a part of the prefix cache to its files; false when all is written. */
  persistOne(): boolean {
    return this.#pool.persistOne();
  }

  /** Tasks, waiting or running, that use this adapter. */
  users(adapter: NativeAdapter): number {
    return this.#tasks().filter((task) => task.adapter === adapter).length;
  }

  /** Must be called before an adapter is freed. */
  forget(adapter: NativeAdapter): void {
    this.#strategy.forget(adapter);
    this.#pool.drop((namespace) => this.#namespaces.isOf(namespace, adapter));
  }

  #tasks(): SequenceTask[] {
    return [...this.#slots.map((slot) => slot.task), ...this.#queue];
  }

  /** The next step's feeds, with room in the cache for all of them. */
  #planWithRoom(): PlannedFeed[] {
    for (;;) {
      const plan = this.#planner.next(this.#slots);
      const tokens = plan.reduce((sum, { count, drafts }) => sum + count + drafts.length, 0);
      if (this.#pool.makeRoom(tokens)) {
        for (const { slot, count, drafts } of plan)
          this.#pool.grow(slot.sequence, count + drafts.length);
        return plan;
      }
      // Sequences have grown beyond what they share: the last that came waits until others have gone. The
      // one that stays has room for all it can need.
      const last = this.#slots.at(-1);
      if (!last || this.#slots.length === 1) return [];
      this.#interrupt(last);
    }
  }

  /** Decodes and looks what became of it. */
  #decode(plan: readonly PlannedFeed[]): void {
    const before = plan.map(({ slot }) => slot.fed);
    const tokens = plan.reduce((sum, { count, drafts }) => sum + count + drafts.length, 0);
    const start = performance.now();
    this.#decoder.run(plan);
    this.#learn(tokens, performance.now() - start);
    this.#steps++;
    for (const [i, { slot, count, drafts }] of plan.entries()) {
      const running = slot as RunningSlot;
      const from = before[i] as number;
      if (slot.fed === from) {
        running.broken = true;
        this.#pool.truncate(slot.sequence, from);
      }
      const small = count + drafts.length < largePiece;
      if (small) running.smallFrom = Math.min(running.smallFrom, from);
      if (drafts.length === 0) continue;
      this.#speculation.record(drafts.length, Math.max(0, slot.fed - from - count));
      if (slot.fed < from + count + drafts.length) this.#pool.truncate(slot.sequence, slot.fed);
    }
  }

  /** The first decode waits for the disk: the others show the speed. */
  #learn(tokens: number, ms: number): void {
    if (this.#decodes++ > 0) this.#costs.record(tokens, ms);
  }

  #expire(now: number): void {
    const late = ({ deadline }: SequenceTask): boolean => (deadline ?? Infinity) <= now;
    const expire = (task: SequenceTask): void => (task.expire ? task.expire() : task.cancel());
    for (;;) {
      const task = this.#queue.remove(late);
      if (!task) break;
      expire(task);
      this.#dropInterrupted(task);
    }
    for (const { task } of this.#slots) if (!task.finished && late(task)) expire(task);
    this.#sweep();
  }

  #loadOf(tenant: string): number {
    return this.#slots.filter(({ task }) => task.tenant === tenant).length;
  }

  #admit(now: number): void {
    const load = (tenant: string): number => this.#loadOf(tenant);
    for (let next = this.#queue.next(load); next !== undefined; next = this.#queue.next(load)) {
      if (this.#slots.length >= this.#places && !this.#makePlaceFor(next)) return;
      const task = this.#queue.shift(load);
      if (!task) return;
      if (this.#start(task, now)) continue;
      this.#queue.unshift(task.tenant, task);
      return;
    }
  }

  /** A tenant with at least two sequences more gives back the one it got last. */
  #makePlaceFor(tenant: string): boolean {
    const own = this.#loadOf(tenant);
    const rich = this.#slots.filter(({ task }) => this.#loadOf(task.tenant) >= own + 2);
    const most = Math.max(0, ...rich.map(({ task }) => this.#loadOf(task.tenant)));
    const slot = rich.findLast(({ task }) => this.#loadOf(task.tenant) === most);
    if (!slot) return false;
    this.#interrupt(slot);
    return true;
  }

  /** Takes a task's sequence; it goes on later where it was. */
  #interrupt(slot: RunningSlot): void {
    const { task, answered, cut } = slot;
    this.#interrupted.set(task, { answered, cut });
    this.#leave(slot, { namespace: this.#namespaces.ofTask(task), owner: null });
    this.#queue.unshift(task.tenant, task);
  }

  /** Gives a task its sequence, with what is known of its beginning. */
  #start(task: SequenceTask, now: number): boolean {
    const { tokens } = task;
    const resumed = this.#interrupted.get(task);
    const usual =
      this.#context.batch.capacity < smallestBatch ? 0 : cutOf(tokens.length, task.boundary);
    const slot = {
      task,
      fed: 0,
      answered: resumed?.answered ?? 0,
      cut: resumed?.cut ?? usual,
      owner: resumed ? null : this.#namespaces.durable(task),
      namespace: resumed ? this.#namespaces.ofTask(task) : this.#namespaces.of(task),
      promptLength: tokens.length,
      promptTokens: tokens.length,
      smallFrom: Infinity,
      since: this.#steps,
      waiting: false,
      broken: false,
      admittedAt: now,
    };
    // Who passes the cache over finds nothing in it, but for what was its own.
    const finds = resumed !== undefined || task.cacheable === true;
    const query = finds ? queryOf(slot) : { ...queryOf(slot), limit: 0 };
    const waits = isComing(query, this.#sources(), this.#pool);
    const sources = this.#sources();
    const crowded = this.#slots.length > 0 && !waits;
    if (crowded && !this.#pool.makeRoomFor(query, sources, answerRoom)) return false;
    const lent = waits ? null : this.#pool.lendFilled(query, sources);
    const sequence = lent?.sequence ?? this.#pool.lend();
    if (sequence === null) return false;
    const running: RunningSlot = { ...slot, sequence, waiting: waits };
    this.#slots.push(running);
    if (!waits) this.#begin(running, lent?.filled ?? 0, lent?.smallFrom ?? Infinity);
    return true;
  }

  #begin(slot: RunningSlot, filled: number, smallFrom: number): void {
    slot.waiting = false;
    slot.fed = filled;
    slot.smallFrom = smallFrom;
    slot.promptTokens = slot.promptLength - filled;
    if (!slot.task.cacheable || this.#interrupted.has(slot.task)) return;
    if (filled > 0) this.#hits++;
    else this.#misses++;
    this.#reused += filled;
    slot.task.reused?.(filled);
  }

  #sources(): ComingSequence[] {
    return this.#context.partial ? sourcesOf(this.#slots) : [];
  }

  /** Tasks that waited for another's beginning go on as soon as it is there. */
  #resolveWaiting(): void {
    for (const slot of this.#slots) {
      if (!slot.waiting || slot.task.finished) continue;
      const query = queryOf(slot);
      if (isComing(query, this.#sources(), this.#pool)) continue;
      const { filled, smallFrom } = this.#pool.fill(slot.sequence, query, this.#sources());
      this.#begin(slot, filled, smallFrom);
    }
  }

  /** Takes a slot's sequence back; with `keeper` its tokens are kept. */
  #leave(slot: RunningSlot, keeper: Pick<Leaving, 'namespace' | 'owner'> | null): void {
    const { sequence, fed, smallFrom, task } = slot;
    this.#slots.splice(this.#slots.indexOf(slot), 1);
    const tokens = Int32Array.from(task.tokens.slice(0, fed));
    this.#pool.giveBack(sequence, keeper && !slot.broken ? { ...keeper, smallFrom, tokens } : null);
  }

  /** Frees the sequences of finished tasks. */
  #sweep(): void {
    for (const slot of this.#slots.filter(({ task }) => task.finished)) {
      const { task } = slot;
      const owner = this.#namespaces.durable(task);
      const namespace = this.#namespaces.of(task);
      this.#leave(slot, task.cacheable === true ? { namespace, owner } : null);
      this.#times.record(performance.now() - slot.admittedAt);
      this.#dropInterrupted(task);
    }
  }

  /** What a task left when it lost its sequence is of use to nobody else. */
  #dropInterrupted(task: SequenceTask): void {
    if (!this.#interrupted.delete(task)) return;
    const own = this.#namespaces.ofTask(task);
    this.#pool.drop((namespace) => namespace === own);
  }
}
