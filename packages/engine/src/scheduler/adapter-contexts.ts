// A context for each adapter: nothing is switched, so llama.cpp reserves no graphs anew and a step of several
// adapters is one decode for each. The main context serves one adapter, side contexts the others; what finds no
// place is switched on in the main one. Side contexts are bounded by the sequences they hold together, and one
// that was not used for a while is given to another adapter.
import { CorralError } from '@corral/contracts';
import type { NativeAdapter, NativeContext } from '../llama-cpp/native-types.ts';
import { decodeGroup } from './decode-group.ts';
import type { DecodeStrategy } from './decode-strategy.ts';
import type { SequencePlaces, SideContext } from './sequence-places.ts';
import { wantsRow } from './sequence-task.ts';
import type { PlannedFeed } from './step-feed.ts';

export interface AdapterContextsOptions {
  readonly places: SequencePlaces;
  /** A context of so many sequences; null when there is no memory for it. */
  readonly open: (sequences: number) => NativeContext | null;
  /** Sequences that side contexts may hold together. */
  readonly maxSeats: number;
  /** What to switch on for an adapter. Throws CorralError when it cannot be loaded. */
  readonly native: (adapter: NativeAdapter) => NativeAdapter;
}

export interface AdapterContexts extends DecodeStrategy {
  /** True when a context has the adapter switched on. */
  isActive(adapter: NativeAdapter): boolean;
  /** Side contexts, and the sequences they have room for. */
  readonly count: number;
  readonly seats: number;
}

/** An adapter, or the base alone. */
type Wanted = NativeAdapter | null;

/** A context and what is on in it. */
interface Home<Side = SideContext | null> {
  /** Null: the main context. */
  readonly side: Side;
  /** Undefined: nobody's. */
  adapter: Wanted | undefined;
  /** Step of its last use. */
  usedAt: number;
}

type SideHome = Home<SideContext>;

/** Steps without use after which a context is given to another adapter: prompts and streams take turns. */
const idleSteps = 16;

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

const seatsFor = (sequences: number): number => 2 ** Math.ceil(Math.log2(sequences));

const rowsOf = ({ slot, count, drafts }: PlannedFeed): number => {
  let rows = drafts.length;
  for (let i = 0; i < count; i++) if (wantsRow(slot, slot.fed + i)) rows++;
  return rows;
};

/** What a side context can decode at once, those that lie there first. */
function fitting(side: SideContext, feeds: readonly PlannedFeed[]): PlannedFeed[] {
  const isHere = ({ slot }: PlannedFeed): number =>
    Number(side.seatOf(slot.sequence) !== undefined);
  let rows = side.native.outputs;
  const fit: PlannedFeed[] = [];
  for (const feed of feeds.toSorted((a, b) => isHere(b) - isHere(a))) {
    rows -= rowsOf(feed);
    if (rows < 0 || fit.length === side.seats) break;
    fit.push(feed);
  }
  return fit;
}

/** What needs memory that may not be there, or a context emptied that cannot be: null then. */
function orNull<T>(attempt: () => T | null): T | null {
  try {
    return attempt();
  } catch (error) {
    if (!CorralError.isInstance(error)) throw error;
    return null;
  }
}

class Contexts implements AdapterContexts {
  readonly #options: AdapterContextsOptions;
  readonly #main: Home = { side: null, adapter: undefined, usedAt: 0 };
  readonly #sides = new Set<SideHome>();
  #maxSeats: number;
  #step = 0;

  constructor(options: AdapterContextsOptions) {
    this.#options = options;
    this.#maxSeats = options.maxSeats;
  }

  get count(): number {
    return this.#sides.size;
  }

  get seats(): number {
    return sum([...this.#sides].map(({ side }) => side.seats));
  }

  isActive(adapter: NativeAdapter): boolean {
    return this.#homes.some((home) => home.adapter === adapter);
  }

  run(plan: readonly PlannedFeed[]): void {
    this.#step++;
    const groups = Map.groupBy(plan, ({ slot }) => slot.task.adapter);
    const isMain = (adapter: Wanted): number => Number(this.#main.adapter === adapter);
    // What is on in the main context goes first: it needs no switch, and may be switched off afterwards.
    const order = [...groups].toSorted(([a], [b]) => isMain(b) - isMain(a));
    const homeless: [Wanted, readonly PlannedFeed[]][] = [];
    for (const [adapter, feeds] of order) {
      const home = orNull(() => this.#homeOf(adapter, feeds.length));
      const fit = home?.side ? fitting(home.side, feeds) : home ? feeds : [];
      if (home && fit.length > 0) this.#decode(home, adapter, fit);
      if (fit.length < feeds.length)
        homeless.push([adapter, feeds.filter((feed) => !fit.includes(feed))]);
    }
    for (const [adapter, feeds] of homeless) this.#decode(this.#main, adapter, feeds);
  }

  forget(adapter: NativeAdapter): void {
    for (const home of this.#homes) if (home.adapter === adapter) this.#switchOff(home);
  }

  get #homes(): readonly Home[] {
    return [this.#main, ...this.#sides];
  }

  /** Where a group is decoded; null when there is no context for it. */
  #homeOf(adapter: Wanted, sequences: number): Home | null {
    const known = [...this.#sides].find((home) => home.adapter === adapter);
    if (known) return this.#enlarged(known, sequences);
    if (this.#main.adapter === adapter || this.#isIdle(this.#main)) return this.#main;
    return this.#take(sequences);
  }

  /** A context with more seats in the place of one that has too few, where that is possible. */
  #enlarged(home: SideHome, sequences: number): SideHome {
    const { seats } = home.side;
    if (seats >= sequences || !this.#hasRoom(sequences, seats)) return home;
    const larger = this.#open(sequences);
    if (!larger) return home;
    this.#remove(home);
    return larger;
  }

  /** A side context that nobody needs now, made if need be. It may have too few seats. */
  #take(sequences: number): SideHome | null {
    const idle = [...this.#sides]
      .filter((home) => this.#isIdle(home))
      .toSorted((a, b) => a.usedAt - b.usedAt);
    const large = idle.filter(({ side }) => side.seats >= sequences);
    const unused = large.find(({ adapter }) => adapter === undefined);
    if (!unused && this.#hasRoom(sequences)) {
      const opened = this.#open(sequences);
      if (opened) return opened;
    }
    const [next = unused] = [unused, ...large].filter((home) => home !== undefined);
    if (next) return this.#emptied(next);
    // Several small ones can make room for one that is large enough.
    const idleSeats = sum(idle.map(({ side }) => side.seats));
    if (this.#hasRoom(sequences, idleSeats)) {
      for (const home of idle) this.#remove(home);
      return this.#open(sequences);
    }
    const [small] = idle;
    return small ? this.#emptied(small) : null;
  }

  #emptied(home: SideHome): SideHome {
    this.#options.places.vacate(home.side);
    return home;
  }

  #isIdle({ usedAt, adapter }: Home): boolean {
    return adapter === undefined || this.#step - usedAt > idleSteps;
  }

  #hasRoom(sequences: number, without = 0): boolean {
    return this.seats - without + seatsFor(sequences) <= this.#maxSeats;
  }

  #open(sequences: number): SideHome | null {
    // llama.cpp may find too little memory where there seemed to be enough.
    const native = orNull(() => this.#options.open(seatsFor(sequences)));
    if (!native) {
      // Nor will there be memory in the next step.
      this.#maxSeats = this.seats;
      return null;
    }
    const side = this.#options.places.add(native);
    const home: SideHome = { side, adapter: undefined, usedAt: this.#step };
    this.#sides.add(home);
    return home;
  }

  #remove(home: SideHome): void {
    this.#options.places.remove(home.side);
    this.#sides.delete(home);
  }

  #contextOf({ side }: Home): NativeContext {
    return side?.native ?? this.#options.places.context;
  }

  #switchOff(home: Home): void {
    this.#contextOf(home).useAdapter(null);
    home.adapter = undefined;
  }

  #decode(home: Home, adapter: Wanted, feeds: readonly PlannedFeed[]): void {
    const { places, native } = this.#options;
    const { side } = home;
    home.usedAt = this.#step;
    try {
      places.gather(
        side,
        feeds.map(({ slot }) => slot),
      );
      this.#contextOf(home).useAdapter(adapter && native(adapter));
    } catch (error) {
      if (!CorralError.isInstance(error)) throw error;
      for (const { slot } of feeds) slot.task.fail(error);
      return;
    }
    home.adapter = adapter;
    if (!side) return decodeGroup(places.context, feeds);
    const seat = ({ slot }: PlannedFeed): number => side.seatOf(slot.sequence) ?? 0;
    // llama.cpp cuts a batch where the ids of sequences do not rise by one.
    decodeGroup(
      side.decoding,
      feeds.toSorted((a, b) => seat(a) - seat(b)),
    );
  }
}

export const createAdapterContexts = (options: AdapterContextsOptions): AdapterContexts =>
  new Contexts(options);
