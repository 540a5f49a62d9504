// Different adapters in one decode: those a step needs lie side by side in a stack, and each sequence uses its
// own ranks of it (docs/decisions: 2026-11-22-adapters-in-one-batch). Stacks of several sizes are kept; which is
// used, and whether a step is one decode or several, is a matter of cost. Adapters that no stack can hold are
// switched on by themselves.
import { CorralError } from '@corral/contracts';
import type { NativeAdapter, NativeContext } from '../llama-cpp/native-types.ts';
import type { NativeStack, PackedAdapter, RankRange, StackPlan } from '../llama-cpp/stack-types.ts';
import { decodeTokens, groupShares, type AdapterShare } from './adapter-groups.ts';
import { decodeGroup } from './decode-group.ts';
import type { DecodeStrategy } from './decode-strategy.ts';
import { createRankSlots, type RankSlots } from './rank-slots.ts';
import type { PlannedFeed } from './step-feed.ts';

export interface StackingOptions {
  readonly context: NativeContext;
  readonly createStack: (plan: StackPlan) => NativeStack;
  /** The weights of an adapter for a stack; null when it must be switched on by itself. */
  readonly packed: (adapter: NativeAdapter) => PackedAdapter | null;
  /** What to switch on for such an adapter. Throws CorralError when it cannot be loaded. */
  readonly native: (adapter: NativeAdapter) => NativeAdapter;
  /** The smallest stack for so many ranks of this format; null when none is large enough. */
  readonly planFor: (format: PackedAdapter['format'], ranks: number) => StackPlan | null;
  /** Multiplications of a rank of a stack over those of the base, for a token. */
  readonly rankCost: () => number;
  /** Blocks of the base: what it costs to change a stack grows with the graph. */
  readonly layers: number;
  /** Bytes that stacks may take together. */
  readonly maxBytes: number;
}

export interface AdapterStacking extends DecodeStrategy {
  /** True when the adapter lies in the stack that is in use. */
  isActive(adapter: NativeAdapter): boolean;
  /** Bytes of all stacks. */
  readonly bytes: number;
  /** Ranks of the stack that is in use; 0 = none. */
  readonly ranks: number;
  /** Why stacks cannot be used any more. */
  readonly failure: string | null;
  /** Frees all stacks: they are made anew when they are needed, with the targets that count then. */
  reset(): void;
}

interface OpenStack {
  readonly stack: NativeStack;
  readonly slots: RankSlots<NativeAdapter>;
}

interface Share extends AdapterShare {
  readonly adapter: NativeAdapter | null;
  readonly packed: PackedAdapter | null;
  readonly feeds: readonly PlannedFeed[];
}

/** llama.cpp reserves its graphs again when adapters change: 6.4 ms with 30 layers. */
const reserveMsPerLayer = 0.22;
/** A stop of the callback, of which there is one for each target: 7 µs. */
const stopMsPerLayer = 0.05;

/** A stack's products are narrow: a multiplication of theirs takes longer than one of the base. */
const rankOverhead = 1.4;

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

function sharesOf(plan: readonly PlannedFeed[], options: StackingOptions): Share[] {
  const groups = Map.groupBy(plan, ({ slot }) => slot.task.adapter);
  return [...groups].map(([adapter, feeds]) => {
    const packed = adapter && options.packed(adapter);
    const tokens = sum(feeds.map(({ count, drafts }) => count + drafts.length));
    return { adapter, packed, feeds, tokens, ranks: packed?.rank ?? 0 };
  });
}

class Stacking implements AdapterStacking {
  readonly #options: StackingOptions;
  /** In order of use, the longest unused first. */
  #stacks: OpenStack[] = [];
  /** What is switched on in the context. */
  #active: OpenStack | NativeAdapter | null = null;
  /** Milliseconds of a token of the base in a full batch. */
  #tokenMs = 3;
  /** Milliseconds that another stack would have saved since the last change. */
  #regret = 0;
  #failure: string | null = null;

  constructor(options: StackingOptions) {
    this.#options = options;
  }

  get bytes(): number {
    return sum(this.#stacks.map(({ stack }) => stack.plan.bytes));
  }

  get ranks(): number {
    return this.#activeStack?.stack.plan.ranks ?? 0;
  }

  get failure(): string | null {
    return this.#failure;
  }

  isActive(adapter: NativeAdapter): boolean {
    return this.#active === adapter || (this.#activeStack?.slots.has(adapter) ?? false);
  }

  run(plan: readonly PlannedFeed[]): void {
    const shares = sharesOf(plan, this.#options);
    const single = shares.filter(({ adapter, packed }) => adapter !== null && !packed);
    const stackable = shares.filter(({ adapter, packed }) => adapter === null || packed);
    for (const group of this.#groups(stackable)) this.#decodeStacked(group);
    for (const { adapter, feeds } of single) this.#decodeSwitched(adapter, feeds);
  }

  forget(adapter: NativeAdapter): void {
    for (const { slots } of this.#stacks) slots.remove(adapter);
    if (this.#active === adapter) this.#switch(null);
  }

  reset(): void {
    this.#switch(null);
    for (const { stack } of this.#stacks) stack.close();
    this.#stacks = [];
  }

  get #activeStack(): OpenStack | null {
    return this.#active && 'slots' in this.#active ? this.#active : null;
  }

  #decodeSwitched(adapter: NativeAdapter | null, feeds: readonly PlannedFeed[]): void {
    try {
      this.#switch(adapter);
    } catch (error) {
      if (!CorralError.isInstance(error)) throw error;
      for (const { slot } of feeds) slot.task.fail(error);
      return;
    }
    decodeGroup(this.#options.context, feeds);
  }

  /** What a rank costs for a token, in tokens of the base. */
  get #rankTokens(): number {
    return rankOverhead * this.#options.rankCost();
  }

  get #changeMs(): number {
    return reserveMsPerLayer * this.#options.layers;
  }

  /** Stackable shares by decode; a stack holds adapters of one format. The base alone joins any. */
  #groups(shares: readonly Share[]): Share[][] {
    const base = shares.find(({ adapter }) => adapter === null);
    const formats = Map.groupBy(
      shares.filter(({ packed }) => packed),
      ({ packed }) => packed?.format ?? 'float32',
    );
    const lists = formats.size === 0 ? [[]] : [...formats.values()];
    if (base) lists[0]?.push(base);
    return lists.flatMap((list) => {
      const format = list.find(({ packed }) => packed)?.packed?.format ?? 'float32';
      return groupShares(list, {
        rank: this.#rankTokens,
        change: this.#changeMs / this.#tokenMs,
        stackSize: (ranks) =>
          this.#options.planFor(format, ranks)?.ranks ?? Number.POSITIVE_INFINITY,
      });
    });
  }

  #decodeStacked(group: readonly Share[]): void {
    const { context } = this.#options;
    const tokens = sum(group.map((share) => share.tokens));
    // llama.cpp cuts a batch where the ids of sequences do not rise by one.
    const feeds = group
      .flatMap((share) => share.feeds)
      .toSorted((a, b) => a.slot.sequence - b.slot.sequence);
    try {
      this.#choose(group, tokens);
    } catch (error) {
      if (!CorralError.isInstance(error)) throw error;
      // No memory or no room for its file: what stacks would do is done one after the other.
      this.#giveUp(error.message);
      for (const { adapter, feeds: own } of group) this.#decodeSwitched(adapter, own);
      return;
    }
    const stack = this.#activeStack;
    const ranks = stack ? this.#place(stack, group) : null;
    if (stack) context.useStack(stack.stack, ranks);
    const start = performance.now();
    decodeGroup(context, feeds);
    this.#measure(tokens, performance.now() - start);
    if (context.stackFailure !== null) this.#giveUp(context.stackFailure);
  }

  #giveUp(reason: string): void {
    this.#failure = reason;
    this.reset();
  }

  /** Learns how fast the base is; a step of few tokens says it as well as one of many. */
  #measure(tokens: number, ms: number): void {
    const stops = this.ranks > 0 ? stopMsPerLayer * this.#options.layers : 0;
    const units = tokens + decodeTokens + this.#rankTokens * tokens * this.ranks;
    this.#tokenMs += 0.1 * (Math.max(0.01, (ms - stops) / units) - this.#tokenMs);
  }

  /**
   * Puts the stack in use that the group needs. One that could be smaller, or be left out, is changed only
   * when that has cost as much as a change (as one buys skis after having paid their price in rent).
   */
  #choose(group: readonly Share[], tokens: number): void {
    const adapters = group.filter(({ packed }) => packed);
    const format = adapters[0]?.packed?.format;
    const needed = sum(adapters.map(({ ranks }) => ranks));
    const current = this.#activeStack;
    const plan = format === undefined ? null : this.#options.planFor(format, needed);
    const usable =
      current !== null &&
      (format === undefined || current.stack.plan.format === format) &&
      current.stack.plan.ranks >= needed;
    if (usable) {
      const spare = current.stack.plan.ranks - (plan?.ranks ?? 0);
      if (spare <= 0) return;
      const stops =
        plan === null || adapters.length === 1 ? stopMsPerLayer * this.#options.layers : 0;
      this.#regret += spare * this.#rankTokens * tokens * this.#tokenMs + stops;
      if (this.#regret < this.#changeMs) return;
    }
    this.#regret = 0;
    if (plan) this.#useStack(plan);
    else this.#switch(null);
  }

  #useStack(plan: StackPlan): void {
    const open = this.#stacks.find(({ stack }) => stack.plan === plan) ?? this.#open(plan);
    this.#stacks = [...this.#stacks.filter((other) => other !== open), open];
    this.#active = open;
  }

  #open(plan: StackPlan): OpenStack {
    const { createStack, maxBytes } = this.#options;
    while (this.#stacks.length > 0 && this.bytes + plan.bytes > maxBytes) {
      const [oldest] = this.#stacks;
      if (oldest && oldest === this.#active) this.#switch(null);
      oldest?.stack.close();
      this.#stacks = this.#stacks.slice(1);
    }
    return { stack: createStack(plan), slots: createRankSlots(plan.ranks) };
  }

  #switch(adapter: NativeAdapter | null): void {
    const { context, native } = this.#options;
    context.useAdapter(adapter && native(adapter));
    this.#active = adapter;
  }

  /** Fills the stack with what the group needs; ranks by sequence, null when nothing is to be cleared. */
  #place({ stack, slots }: OpenStack, group: readonly Share[]): (RankRange | null)[] | null {
    const wanted = new Map<NativeAdapter, number>();
    const weights = new Map<NativeAdapter, PackedAdapter>();
    for (const { adapter, packed } of group)
      if (adapter && packed) {
        wanted.set(adapter, packed.rank);
        weights.set(adapter, packed);
      }
    const [only] = wanted;
    const uniform = wanted.size === 1 && group.length === 1;
    // The smallest stack for one adapter serves that one: without others nothing need be cleared.
    const alone =
      uniform &&
      this.#options.planFor(stack.plan.format, only?.[1] ?? 0)?.ranks === stack.plan.ranks;
    for (const [adapter, { from }] of slots.place(wanted, alone)) {
      const packed = weights.get(adapter);
      if (packed) stack.write(from, packed);
    }
    if (uniform && slots.size === 1) {
      for (const range of slots.dirty()) stack.clear(range);
      slots.cleaned();
      return null;
    }
    const ranks: (RankRange | null)[] = [];
    for (const { adapter, feeds } of group)
      for (const { slot } of feeds)
        ranks[slot.sequence] = adapter === null ? null : (slots.range(adapter) ?? null);
    return ranks;
  }
}

export const createAdapterStacking = (options: StackingOptions): AdapterStacking =>
  new Stacking(options);
