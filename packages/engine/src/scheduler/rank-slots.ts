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

export function createRankSlots<Key>(ranks: number): RankSlots<Key> {
  // In order of use, the longest unused first.
  const slots = new Map<Key, RankRange>();
  const written = new Uint8Array(ranks);

  /** First gap of `size` ranks between the slots; undefined when there is none. */
  function findGap(size: number): number | undefined {
    let from = 0;
    for (const slot of [...slots.values()].toSorted((a, b) => a.from - b.from)) {
      if (slot.from - from >= size) return from;
      from = slot.to;
    }
    return ranks - from >= size ? from : undefined;
  }

  function evict(keep: ReadonlyMap<Key, number>): boolean {
    for (const key of slots.keys())
      if (!keep.has(key)) {
        slots.delete(key);
        return true;
      }
    return false;
  }

  function put(key: Key, from: number, size: number): [Key, RankRange] {
    const range = { from, to: from + size };
    slots.set(key, range);
    written.fill(1, range.from, range.to);
    return [key, range];
  }

  /** Everything anew from the first rank on: gaps between what must stay were too small. */
  function placeAll(wanted: ReadonlyMap<Key, number>): [Key, RankRange][] {
    slots.clear();
    let from = 0;
    return [...wanted].map(([key, size]) => {
      const placed = put(key, from, size);
      from += size;
      return placed;
    });
  }

  return {
    place: (wanted, alone = false) => {
      for (const key of wanted.keys()) {
        const slot = slots.get(key);
        if (!slot) continue;
        slots.delete(key);
        slots.set(key, slot);
      }
      if (alone) while (evict(wanted));
      const placed: [Key, RankRange][] = [];
      for (const [key, size] of wanted) {
        if (slots.has(key)) continue;
        let gap = findGap(size);
        while (gap === undefined && evict(wanted)) gap = findGap(size);
        if (gap === undefined) return placeAll(wanted);
        placed.push(put(key, gap, size));
      }
      return placed;
    },
    range: (key) => slots.get(key),
    has: (key) => slots.has(key),
    remove: (key) => {
      slots.delete(key);
    },
    dirty: () => {
      const owned = new Uint8Array(ranks);
      for (const { from, to } of slots.values()) owned.fill(1, from, to);
      const ranges: RankRange[] = [];
      for (let rank = 0; rank < ranks; rank++) {
        if (!written[rank] || owned[rank]) continue;
        const last = ranges.at(-1);
        if (last?.to === rank) ranges[ranges.length - 1] = { from: last.from, to: rank + 1 };
        else ranges.push({ from: rank, to: rank + 1 });
      }
      return ranges;
    },
    cleaned: () => {
      written.fill(0);
      for (const { from, to } of slots.values()) written.fill(1, from, to);
    },
    get size() {
      return slots.size;
    },
  };
}
