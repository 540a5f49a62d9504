// Numbers that look random and are the same on every machine: mulberry32 over a seed and a name.

export interface Random {
  /** A whole number from 0 to limit - 1. */
  below(limit: number): number;
  pick<T>(items: readonly T[]): T;
  /** True in `share` of the calls. */
  chance(share: number): boolean;
  /** `count` different items, or all in random order. */
  sample<T>(items: readonly T[], count?: number): T[];
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let state = 0x811c9dc5;
  for (let i = 0; i < text.length; i++)
    state = Math.imul(state ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return state;
}

/** A stream of its own for each seed and name. */
export function createRandom(seed: number, name: string): Random {
  let state = (seed ^ hash(name)) >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
  const below = (limit: number): number => Math.floor((next() / 4_294_967_296) * limit);
  const pick = <T>(items: readonly T[]): T => {
    const found = items[below(items.length)];
    if (found === undefined) throw new RangeError('nothing to pick from');
    return found;
  };
  const sample = <T>(items: readonly T[], count = items.length): T[] => {
    const rest = [...items];
    const taken: T[] = [];
    while (taken.length < count && rest.length > 0)
      taken.push(...rest.splice(below(rest.length), 1));
    return taken;
  };
  return { below, pick, chance: (share) => next() / 4_294_967_296 < share, sample };
}
