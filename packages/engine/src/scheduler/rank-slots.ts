// Which ranks of a stack hold which adapter. Places what a decode needs, evicts what was not used for longest,
// and says what is to be written. Pure bookkeeping; knows neither weights nor stacks.
import type { RankRange } from '../llama-cpp/stack-types.ts';

export interface RankSlots<Key> {
  /**
   * Makes room for all of `wanted` (their ranks together are no more than there are) and says which are to be
   * written where: those that were not there, or were moved. `alone`: nobody else stays.
   */
  place(wanted: ReadonlyMap<Key, number>, alone?: boolean): readonly [Key, RankRange][];
  range(key: Key): RankRange | undefined;
  has(key: Key): boolean;
  /** The adapter's ranks may be given away. */
  remove(key: Key): void;
  /** Ranks that were written once and belong to nobody now; `cleaned` makes them count as never written. */
  dirty(): readonly RankRange[];
  cleaned(): void;
  readonly size: number;
}

class Slots<Key> implements RankSlots<Key> {
  readonly #ranks: number;
  /** In order of use, the longest unused first. */
  readonly #slots = new Map<Key, RankRange>();
  /** 1 where something was written. */
  readonly #written: Uint8Array;

  constructor(ranks: number) {
    this.#ranks = ranks;
    this.#written = new Uint8Array(ranks);
  }

  get size(): number {
    return this.#slots.size;
  }

  place(wanted: ReadonlyMap<Key, number>, alone = false): readonly [Key, RankRange][] {
    for (const key of wanted.keys()) {
      const slot = this.#slots.get(key);
      if (!slot) continue;
      this.#slots.delete(key);
      this.#slots.set(key, slot);
    }
    if (alone) while (this.#evict(wanted));
    const placed: [Key, RankRange][] = [];
    for (const [key, size] of wanted) {
      if (this.#slots.has(key)) continue;
      let gap = this.#findGap(size);
      while (gap === undefined && this.#evict(wanted)) gap = this.#findGap(size);
      if (gap === undefined) return this.#placeAll(wanted);
      placed.push(this.#put(key, gap, size));
    }
    return placed;
  }

  range(key: Key): RankRange | undefined {
    return this.#slots.get(key);
  }

  has(key: Key): boolean {
    return this.#slots.has(key);
  }

  remove(key: Key): void {
    this.#slots.delete(key);
  }

  dirty(): readonly RankRange[] {
    const owned = new Uint8Array(this.#ranks);
    for (const { from, to } of this.#slots.values()) owned.fill(1, from, to);
    const ranges: RankRange[] = [];
    for (let rank = 0; rank < this.#ranks; rank++) {
      if (!this.#written[rank] || owned[rank]) continue;
      const last = ranges.at(-1);
      if (last?.to === rank) ranges[ranges.length - 1] = { from: last.from, to: rank + 1 };
      else ranges.push({ from: rank, to: rank + 1 });
    }
    return ranges;
  }

  cleaned(): void {
    this.#written.fill(0);
    for (const { from, to } of this.#slots.values()) this.#written.fill(1, from, to);
  }

  /** First gap of `size` ranks between the slots; undefined when there is none. */
  #findGap(size: number): number | undefined {
    let from = 0;
    for (const slot of [...this.#slots.values()].toSorted((a, b) => a.from - b.from)) {
      if (slot.from - from >= size) return from;
      from = slot.to;
    }
    return this.#ranks - from >= size ? from : undefined;
  }

  /** Takes the place of the adapter that was not used for longest; false when all are to stay. */
  #evict(keep: ReadonlyMap<Key, number>): boolean {
    for (const key of this.#slots.keys()) if (!keep.has(key)) return this.#slots.delete(key);
    return false;
  }

  #put(key: Key, from: number, size: number): [Key, RankRange] {
    const range = { from, to: from + size };
    this.#slots.set(key, range);
    this.#written.fill(1, range.from, range.to);
    return [key, range];
  }

  /** Everything anew from the first rank on: gaps between what must stay were too small. */
  #placeAll(wanted: ReadonlyMap<Key, number>): [Key, RankRange][] {
    this.#slots.clear();
    let from = 0;
    return [...wanted].map(([key, size]) => {
      const placed = this.#put(key, from, size);
      from += size;
      return placed;
    });
  }
}

export const createRankSlots = <Key>(ranks: number): RankSlots<Key> => new Slots<Key>(ranks);
