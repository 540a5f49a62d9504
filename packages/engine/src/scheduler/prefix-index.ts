// What the prefix cache knows: which token sequences have keys and values somewhere, of whom, and who was
// asked for last. A namespace (tenant and adapter) is the outermost key: an entry of another one is not
// even compared. Pure: knows no native memory.
import { reusable } from './prompt-cut.ts';

/** Keys and values of `tokens`, in an idle sequence of the cache, as saved bytes, or in a file. */
export interface PrefixEntry {
  readonly namespace: string;
  readonly tokens: Int32Array;
  /** First position that was computed in a small piece (prompt-cut.ts). */
  readonly smallFrom: number;
  readonly bytes: number;
  /** Who may find it after a restart; null = nobody. */
  readonly owner: string | null;
  sequence: number | null;
  state: Uint8Array | null;
  /** Name of the file that holds it, too. */
  file: string | null;
  /** Larger = asked for later. */
  usedAt: number;
}

/** What a task would like to find. */
export interface PrefixQuery {
  readonly namespace: string;
  /** The namespace under a name that outlives the process; null where there is none. */
  readonly owner: string | null;
  readonly tokens: ArrayLike<number>;
  /** At most so many tokens may be taken over: the logits after the next are needed. */
  readonly limit: number;
  /** Where the task's own prompt is cut. */
  readonly cut: number;
}

/** Tokens that both begin with, at most `limit`. */
export function commonPrefix(a: ArrayLike<number>, b: ArrayLike<number>, limit = Infinity): number {
  const end = Math.min(a.length, b.length, limit);
  let i = 0;
  while (i < end && a[i] === b[i]) i++;
  return i;
}

interface Found {
  readonly entry: PrefixEntry;
  readonly length: number;
}

/** The entry that saves most tokens; of equal ones the shorter, since less is copied. */
function bestOf(
  entries: Iterable<PrefixEntry>,
  { tokens, limit, cut }: Pick<PrefixQuery, 'tokens' | 'limit' | 'cut'>,
): Found | null {
  let found: Found | null = null;
  for (const entry of entries) {
    const length = reusable(commonPrefix(tokens, entry.tokens, limit), entry.smallFrom, cut);
    const better =
      !found ||
      length > found.length ||
      (length === found.length && entry.tokens.length < found.entry.tokens.length);
    if (length > 0 && better) found = { entry, length };
  }
  return found;
}

export interface PrefixIndex {
  readonly size: number;
  readonly bytes: number;
  /** The entry that saves most tokens, and how many; null when none saves any. Does not touch its age. */
  best(query: PrefixQuery): Found | null;
  /** False when an entry that begins with these tokens is there already. */
  add(entry: Omit<PrefixEntry, 'usedAt'>): boolean;
  touch(entry: PrefixEntry): void;
  remove(entry: PrefixEntry): void;
  /** Entries that `tokens` begin with: a longer one makes them superfluous. */
  covered(namespace: string, tokens: ArrayLike<number>): PrefixEntry[];
  /** The entry that was not asked for for the longest time, of those that `matches` accepts. */
  oldest(matches?: (entry: PrefixEntry) => boolean): PrefixEntry | null;
  [Symbol.iterator](): IterableIterator<PrefixEntry>;
}

export function createPrefixIndex(): PrefixIndex {
  const namespaces = new Map<string, Set<PrefixEntry>>();
  let size = 0;
  let bytes = 0;
  let clock = 0;
  const of = (namespace: string): ReadonlySet<PrefixEntry> =>
    namespaces.get(namespace) ?? new Set<PrefixEntry>();
  function* entries(): IterableIterator<PrefixEntry> {
    for (const set of namespaces.values()) yield* set;
  }
  return {
    get size() {
      return size;
    },
    get bytes() {
      return bytes;
    },
    best: (query) => bestOf(of(query.namespace), query),
    add: (entry) => {
      const { namespace, tokens } = entry;
      for (const other of of(namespace)) {
        if (commonPrefix(tokens, other.tokens) < tokens.length) continue;
        other.usedAt = ++clock;
        return false;
      }
      const set = namespaces.get(namespace) ?? new Set();
      namespaces.set(namespace, set);
      set.add({ ...entry, usedAt: ++clock });
      size++;
      bytes += entry.bytes;
      return true;
    },
    touch: (entry) => {
      entry.usedAt = ++clock;
    },
    remove: (entry) => {
      const set = namespaces.get(entry.namespace);
      if (!set?.delete(entry)) return;
      if (set.size === 0) namespaces.delete(entry.namespace);
      size--;
      bytes -= entry.bytes;
    },
    covered: (namespace, tokens) =>
      [...of(namespace)].filter(
        (entry) => commonPrefix(tokens, entry.tokens) === entry.tokens.length,
      ),
    oldest: (matches = () => true) => {
      let found: PrefixEntry | null = null;
      for (const entry of entries())
        if (matches(entry) && (!found || entry.usedAt < found.usedAt)) found = entry;
      return found;
    },
    [Symbol.iterator]: entries,
  };
}
