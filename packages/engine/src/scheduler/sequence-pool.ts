// The sequences of the cache: who may use which, and what the idle ones still hold. A finished task leaves
// its keys and values in its sequence; they are the prefix cache. When all sequences are wanted, the
// longest unused is saved as bytes and lent out. Knows nothing of steps and tenants: the namespace of an
// entry is a string that is either equal or not.
import type { SequenceMemory } from '../llama-cpp/native-types.ts';
import type { PrefixFiles } from '../prefix-files.ts';
import { createCountedMemory, type CountedMemory } from './cell-ledger.ts';
import {
  commonPrefix,
  createPrefixIndex,
  type PrefixEntry,
  type PrefixIndex,
  type PrefixQuery,
} from './prefix-index.ts';
import { largePiece, reusable, shortestReuse } from './prompt-cut.ts';

/** A sequence that is lent to a task, and what it holds already. */
export interface LentSequence {
  readonly sequence: number;
  /** Tokens whose keys and values are there. */
  readonly filled: number;
  /** First of them that was computed in a small piece; Infinity when none was. */
  readonly smallFrom: number;
}

/** A sequence that is being computed: others may copy from it. */
export interface RunningSequence {
  readonly namespace: string;
  readonly sequence: number;
  readonly tokens: ArrayLike<number>;
  readonly fed: number;
  readonly smallFrom: number;
}

export interface SequencePoolOptions {
  readonly memory: SequenceMemory;
  readonly sequences: number;
  /** Bytes that entries may take, idle sequences included; 0 = nothing is kept. */
  readonly maxBytes: number;
  readonly bytesPerToken: number;
  /** Where entries outlive the process. */
  readonly files?: PrefixFiles | undefined;
}

/** What a task leaves: `tokens` that are in its sequence. */
export type Leaving = Pick<PrefixEntry, 'namespace' | 'owner' | 'tokens' | 'smallFrom'>;

/** A sequence that is lent to nobody, and how many tokens it holds for later. */
export interface IdleSequence {
  readonly sequence: number;
  readonly length: number;
}

export interface SequencePoolStats {
  readonly entries: number;
  readonly bytes: number;
}

/** More entries than this are more to search than they are worth. */
const maxEntries = 1024;

export class SequencePool {
  readonly #options: SequencePoolOptions;
  readonly #memory: CountedMemory;
  readonly #index: PrefixIndex = createPrefixIndex();
  /** Sequences that hold nothing; the lowest is lent first, so that those in use lie side by side. */
  readonly #empty: Set<number>;
  /** Namespaces whose files have been looked for. */
  readonly #recalled = new Set<string>();

  constructor(options: SequencePoolOptions) {
    this.#options = options;
    this.#memory = createCountedMemory(options.memory);
    this.#empty = new Set(Array.from({ length: options.sequences }, (_, i) => i));
  }

  get stats(): SequencePoolStats {
    return { entries: this.#index.size, bytes: this.#index.bytes };
  }

  /**
   * Finds room for `tokens` more in a shared cache; idle sequences give way, the longest unused first. False
   * when what is lent leaves too little.
   */
  makeRoom(tokens: number): boolean {
    while (this.#memory.free < tokens) {
      const oldest = this.#index.oldest(({ sequence }) => sequence !== null);
      if (!oldest) return false;
      this.#vacate(oldest);
    }
    return true;
  }

  /** `makeRoom` for a query's tokens and `more`; what it shares with a sequence needs none. */
  makeRoomFor(query: PrefixQuery, running: readonly RunningSequence[], more: number): boolean {
    const kept = this.#index.best(query);
    const found = this.found(query, running);
    const { length } = query.tokens;
    if (!kept || kept.length < found || kept.entry.sequence !== null)
      return this.makeRoom(length - found + more);
    // Bytes are put back whole and then cut.
    return this.makeRoom(Math.max(kept.entry.tokens.length, length + more));
  }

  /** A decode will add `tokens` to a lent sequence; `makeRoom` was asked. */
  grow(sequence: number, tokens: number): void {
    this.#memory.grow(sequence, tokens);
  }

  /** Forgets a lent sequence from `length` on. */
  truncate(sequence: number, length: number): void {
    this.#memory.truncate(sequence, length);
  }

  /**
   * Sequences that are lent to nobody and can take `tokens` more at once without any giving way; empty ones
   * first. Whoever lets one grow truncates it to its length before anything else happens.
   */
  idle(tokens: number): IdleSequence[] {
    const idle: IdleSequence[] = [...this.#empty].map((sequence) => ({ sequence, length: 0 }));
    if (this.#memory.partial)
      for (const { sequence, tokens: held } of this.#index)
        if (sequence !== null) idle.push({ sequence, length: held.length });
    const { free } = this.#memory;
    return free === Infinity ? idle : idle.slice(0, Math.floor(free / tokens));
  }

  /** Tokens that `fill` would find now; of `running` those that have been computed. */
  found(query: PrefixQuery, running: readonly RunningSequence[]): number {
    this.#recall(query);
    const kept = this.#index.best(query)?.length ?? 0;
    return running.reduce((most, source) => Math.max(most, reusableOf(query, source)), kept);
  }

  /** An empty sequence, null when all are lent. */
  lend(except: PrefixEntry | null = null): number | null {
    let lowest: number | null = null;
    for (const sequence of this.#empty) if (lowest === null || sequence < lowest) lowest = sequence;
    if (lowest === null) {
      const oldest = this.#index.oldest((entry) => entry.sequence !== null && entry !== except);
      if (!oldest) return null;
      lowest = this.#vacate(oldest);
    }
    this.#empty.delete(lowest);
    return lowest;
  }

  /** A sequence that begins with what is known of the query's tokens; null when all are lent. */
  lendFilled(query: PrefixQuery, running: readonly RunningSequence[]): LentSequence | null {
    this.#recall(query);
    const kept = this.#index.best(query);
    const { entry = null, length = 0 } = kept ?? {};
    const copied = running.some((source) => reusableOf(query, source) > length);
    const holder = entry?.sequence ?? null;
    if (entry && holder !== null && !copied && entry.tokens.length - length <= largePiece)
      return this.#takeOver(entry, length);
    const sequence = this.lend(entry);
    if (sequence !== null) return this.fill(sequence, query, running);
    // All are lent but the very one that holds the prefix: it is kept as bytes and lent as it is.
    if (!entry || holder === null) return null;
    const state = this.#memory.save(holder);
    const lent = this.#takeOver(entry, length);
    this.#keep({ ...entry, sequence: null, state });
    return lent;
  }

  /** Copies the best known beginning into an empty sequence that was lent. */
  fill(sequence: number, query: PrefixQuery, running: readonly RunningSequence[]): LentSequence {
    const kept = this.#index.best(query);
    let length = kept?.length ?? 0;
    let source: PrefixEntry | RunningSequence | null = kept?.entry ?? null;
    for (const candidate of running) {
      const found = reusableOf(query, candidate);
      if (found > length) [length, source] = [found, candidate];
    }
    const nothing = { sequence, filled: 0, smallFrom: Infinity };
    if (!source) return nothing;
    const { smallFrom } = source;
    if (kept && source === kept.entry) this.#index.touch(kept.entry);
    if (!this.#copy(source, sequence, length)) return nothing;
    return { sequence, filled: length, smallFrom: smallFrom < length ? smallFrom : Infinity };
  }

  /** Takes a sequence back. With `entry` its first tokens are kept for others of the namespace. */
  giveBack(sequence: number, entry: Leaving | null): void {
    const { bytesPerToken } = this.#options;
    if (entry && entry.tokens.length >= shortestReuse) {
      this.#memory.truncate(sequence, entry.tokens.length);
      const bytes = entry.tokens.length * bytesPerToken;
      if (this.#keep({ ...entry, bytes, sequence, state: null, file: null })) return;
    }
    this.#release(sequence);
  }

  /** Writes one entry that is not on disk yet; false when there is none. */
  persistOne(): boolean {
    const { files } = this.#options;
    if (!files) return false;
    for (const entry of this.#index) {
      const { owner, sequence } = entry;
      if (owner === null || entry.file !== null) continue;
      const state = entry.state ?? (sequence === null ? null : this.#memory.save(sequence));
      // What could not be written is not tried again: an empty name is no file.
      entry.file = (state && files.write(owner, entry, state)) ?? '';
      return true;
    }
    return false;
  }

  /** What files hold for the query's owner is known from its first query on. */
  #recall({ namespace, owner }: PrefixQuery): void {
    const { files, bytesPerToken } = this.#options;
    if (!files || owner === null || this.#recalled.has(namespace)) return;
    this.#recalled.add(namespace);
    for (const stored of files.of(owner)) {
      const bytes = stored.tokens.length * bytesPerToken;
      this.#keep({ ...stored, namespace, owner, bytes, sequence: null, state: null });
    }
  }

  /** Drops what `matches` accepts, at once. */
  drop(matches: (namespace: string) => boolean): void {
    for (const entry of this.#index) {
      // Its file stays: the same adapter may come back.
      if (matches(entry.namespace)) this.#forget(entry);
    }
  }

  #copy(source: PrefixEntry | RunningSequence, to: number, length: number): boolean {
    if (source.sequence !== null) return this.#memory.copy(source.sequence, to, length);
    const entry = source as PrefixEntry;
    const { tokens } = entry;
    if (!this.makeRoom(tokens.length)) return false;
    const state = entry.state ?? (entry.file ? this.#options.files?.read(entry.file) : null);
    if (state && this.#memory.restore(to, state, tokens.length)) {
      this.#memory.truncate(to, length);
      return true;
    }
    this.#discard(entry);
    return false;
  }

  #takeOver(entry: PrefixEntry, length: number): LentSequence {
    const { sequence, smallFrom } = entry;
    this.#index.remove(entry);
    this.#memory.truncate(sequence as number, length);
    return {
      sequence: sequence as number,
      filled: length,
      smallFrom: smallFrom < length ? smallFrom : Infinity,
    };
  }

  #keep(entry: Omit<PrefixEntry, 'usedAt'>): boolean {
    const { maxBytes } = this.#options;
    if (entry.bytes > maxBytes || !this.#memory.partial) return false;
    for (const shorter of this.#index.covered(entry.namespace, entry.tokens)) {
      if (shorter.tokens.length < entry.tokens.length) this.#discard(shorter);
    }
    while (this.#index.bytes + entry.bytes > maxBytes || this.#index.size >= maxEntries) {
      const oldest = this.#index.oldest();
      if (!oldest) return false;
      this.#discard(oldest);
    }
    return this.#index.add(entry);
  }

  /** Saves an idle sequence as bytes; it is empty then. */
  #vacate(entry: PrefixEntry): number {
    const sequence = entry.sequence as number;
    entry.state = this.#memory.save(sequence);
    entry.sequence = null;
    this.#release(sequence);
    return sequence;
  }

  #discard(entry: PrefixEntry): void {
    if (entry.file) this.#options.files?.remove(entry.file);
    this.#forget(entry);
  }

  #forget(entry: PrefixEntry): void {
    this.#index.remove(entry);
    if (entry.sequence !== null) this.#release(entry.sequence);
  }

  #release(sequence: number): void {
    this.#memory.truncate(sequence, 0);
    this.#empty.add(sequence);
  }
}

/** Tokens that a sequence which is being computed has for the query now. */
function reusableOf(query: PrefixQuery, source: RunningSequence): number {
  if (source.namespace !== query.namespace) return 0;
  const limit = Math.min(query.limit, source.fed);
  const common = commonPrefix(query.tokens, source.tokens, limit);
  return reusable(common, source.smallFrom, query.cut);
}
