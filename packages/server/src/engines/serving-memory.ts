// Which base models are in memory at once: a budget in bytes, a first-come queue for those that need room,
// and who has to leave for them. One guest is one base; a request holds its guest's place while it runs, so
// nobody who waits holds anything and no two can wait for each other. Knows bytes and time, no processes.
import { CorralError } from '@corral/contracts';
import { formatBytes } from '../download/disk-space.ts';

/** A base as the memory sees it. */
export interface MemoryGuest {
  readonly base: string;
  /** Gives the memory back. Called when nobody holds the place, or because of `remove`. Must not reject. */
  leave(): Promise<void>;
}

export interface ServingMemoryOptions {
  readonly limitBytes: number;
  /** A request that found no room for its base in this time is refused. */
  readonly waitMs: number;
  /**
   * A base that is in use is left alone for this long by one that waits; then new requests for it queue
   * behind the one that waits, so that a stream of requests cannot keep another model out for ever.
   */
  readonly patienceMs: number;
  /** A base that was used this recently is not unloaded yet: a request often comes in two or three calls. */
  readonly lingerMs: number;
  /** Unused for this long, a base is unloaded; 0: never. */
  readonly idleMs: number;
}

interface Place {
  readonly guest: MemoryGuest;
  /** Order of arrival. */
  readonly number: number;
  bytes: number;
  users: number;
  usedAt: number;
  /** Its process has given up: the place goes with its last user. */
  doomed: boolean;
  /** Set while it is unloaded; its bytes count until that is done. */
  leaving: Promise<void> | null;
}

interface Waiter {
  readonly guest: MemoryGuest;
  readonly bytes: number;
  readonly since: number;
  readonly grant: (place: Place) => void;
  readonly refuse: (error: Error) => void;
}

export interface MemoryReport {
  readonly limit_bytes: number;
  readonly reserved_bytes: number;
  /** Requests whose base has no place yet. */
  readonly waiting: number;
}

/** When to try again after a refusal: by then a base that is in use has had to make room. */
const retryAfterSeconds = 5;

export class ServingMemory {
  readonly #options: ServingMemoryOptions;
  readonly #places = new Map<MemoryGuest, Place>();
  readonly #queue = new Set<Waiter>();
  #pinned: ReadonlySet<string> = new Set();
  #wake: NodeJS.Timeout | null = null;
  #arrivals = 0;

  constructor(options: ServingMemoryOptions) {
    this.#options = options;
  }

  /**
   * Waits for a place of `bytes` (ignored for a base that is in already) and keeps it until the returned
   * function is called. Throws model_too_large, overloaded (no room in time), or the signal's reason.
   */
  enter(guest: MemoryGuest, bytes: number, signal?: AbortSignal): Promise<() => void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(asError(signal.reason));
        return;
      }
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
        this.#queue.delete(waiter);
      };
      const refuse = (error: Error): void => {
        done();
        reject(error);
      };
      const waiter: Waiter = {
        guest,
        bytes,
        since: performance.now(),
        refuse,
        grant: (place) => {
          done();
          resolve(this.#hold(place));
        },
      };
      const abort = (): void => {
        refuse(asError(signal?.reason));
        this.#settle();
      };
      const timer = setTimeout(() => {
        refuse(this.#noRoom(waiter));
        this.#settle();
      }, this.#options.waitMs);
      timer.unref();
      signal?.addEventListener('abort', abort, { once: true });
      this.#queue.add(waiter);
      this.#settle();
    });
  }

  /** What a guest takes was found to be otherwise. */
  resize(guest: MemoryGuest, bytes: number): void {
    const place = this.#places.get(guest);
    if (!place || place.leaving || place.bytes === bytes) return;
    place.bytes = bytes;
    this.#settle();
  }

  /** The guest's process is gone and nobody tries again: its place goes with its last user. */
  giveUp(guest: MemoryGuest): void {
    const place = this.#places.get(guest);
    if (place) place.doomed = true;
    this.#settle();
  }

  /** Takes the place away, used or not; who waits for it is refused with `reason`. */
  async remove(guest: MemoryGuest, reason: CorralError): Promise<void> {
    for (const waiter of this.#queue) if (waiter.guest === guest) waiter.refuse(reason);
    const place = this.#places.get(guest);
    if (place) await this.#evict(place);
  }

  /** From now on these bases are not unloaded to make room, nor for being idle. */
  pin(bases: ReadonlySet<string>): void {
    this.#pinned = bases;
    this.#settle();
  }

  isPinned(base: string): boolean {
    return this.#pinned.has(base);
  }

  /** Of one guest. */
  place(guest: MemoryGuest): { reserved_bytes: number; leaving: boolean; waiting: number } {
    const place = this.#places.get(guest);
    return {
      reserved_bytes: place?.bytes ?? 0,
      leaving: Boolean(place?.leaving),
      waiting: [...this.#queue].filter((waiter) => waiter.guest === guest).length,
    };
  }

  report(): MemoryReport {
    return {
      limit_bytes: this.#options.limitBytes,
      reserved_bytes: this.#reserved(),
      waiting: this.#queue.size,
    };
  }

  /** No timer is left; who waits is refused. Places are their guests' to end. Idempotent. */
  close(reason: CorralError): void {
    if (this.#wake) clearTimeout(this.#wake);
    this.#wake = null;
    for (const waiter of this.#queue) waiter.refuse(reason);
  }

  #hold(place: Place): () => void {
    place.users++;
    place.doomed = false;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      place.users--;
      place.usedAt = performance.now();
      this.#settle();
    };
  }

  /** Brings everything to where it belongs: called after each change, and when time brings one about. */
  #settle(): void {
    const now = performance.now();
    for (const place of this.#idle()) {
      if (place.doomed || this.#isForgotten(place, now)) void this.#evict(place);
    }
    this.#shrink();
    const head = this.#admit(now);
    this.#sleep(now, head);
  }

  /** Lets in whoever may. Answers the first who must wait for room, for whom room is then being made. */
  #admit(now: number): Waiter | null {
    for (;;) {
      const waiting = [...this.#queue];
      const at = waiting.findIndex(({ guest }) => !this.#isIn(guest));
      const head = waiting[at] ?? null;
      const before = head === null ? waiting : waiting.slice(0, at);
      this.#grant(before, new Set());
      if (head === null) return null;
      if (head.bytes > this.#reach(head.guest)) {
        head.refuse(this.#tooLarge(head));
        continue;
      }
      if (this.#seat(head, now)) continue;
      const victims = this.#victims(head, now);
      for (const place of victims) if (place.users === 0) void this.#evict(place);
      this.#grant(waiting.slice(at + 1), victims);
      return head;
    }
  }

  /** Those whose base is in go in, but not where somebody is to leave for one who came before them. */
  #grant(waiting: readonly Waiter[], victims: ReadonlySet<Place>): void {
    for (const waiter of waiting) {
      const place = this.#places.get(waiter.guest);
      if (place && !place.leaving && !victims.has(place)) waiter.grant(place);
    }
  }

  #seat({ guest, bytes }: Waiter, now: number): boolean {
    if (this.#places.has(guest)) return false; // It is leaving.
    if (bytes > this.#options.limitBytes - this.#reserved()) return false;
    const number = this.#arrivals++;
    const state = { users: 0, usedAt: now, doomed: false, leaving: null };
    this.#places.set(guest, { guest, number, bytes, ...state });
    return true;
  }

  /**
   * Who goes so that `head` fits: those that nobody uses, longest unused first, if they are enough; once
   * patience is over also those in use, oldest first, each when its last user has gone.
   */
  #victims(head: Waiter, now: number): Set<Place> {
    const impatient = now - head.since >= this.#options.patienceMs;
    const rested = this.#idle()
      .filter((place) => impatient || now - place.usedAt >= this.#options.lingerMs)
      .toSorted((a, b) => a.usedAt - b.usedAt);
    const busy = impatient ? this.#movable().filter(({ users }) => users > 0) : [];
    const going = [...this.#places.values()].filter(({ leaving }) => leaving !== null);
    let missing = head.bytes - (this.#options.limitBytes - this.#reserved()) - sumBytes(going);
    const victims = new Set<Place>();
    for (const place of [...rested, ...busy]) {
      if (missing <= 0) break;
      missing -= place.bytes;
      victims.add(place);
    }
    return missing <= 0 ? victims : new Set();
  }

  /** A measurement may find more in use than allowed: what nobody uses goes. */
  #shrink(): void {
    const idle = this.#idle().toSorted((a, b) => a.usedAt - b.usedAt);
    for (const place of idle) {
      const staying = [...this.#places.values()].filter(({ leaving }) => !leaving);
      if (sumBytes(staying) <= this.#options.limitBytes) return;
      void this.#evict(place);
    }
  }

  #evict(place: Place): Promise<void> {
    place.leaving ??= place.guest.leave().then(() => {
      this.#places.delete(place.guest);
      this.#settle();
    });
    return place.leaving;
  }

  /** In, not pinned; oldest first. */
  #movable(): Place[] {
    return [...this.#places.values()]
      .filter(({ leaving, guest }) => !leaving && !this.#pinned.has(guest.base))
      .toSorted((a, b) => a.number - b.number);
  }

  #idle(): Place[] {
    return this.#movable().filter(({ users }) => users === 0);
  }

  #isIn(guest: MemoryGuest): boolean {
    const place = this.#places.get(guest);
    return place !== undefined && !place.leaving;
  }

  #isForgotten({ usedAt }: Place, now: number): boolean {
    const { idleMs } = this.#options;
    return idleMs > 0 && now - usedAt >= idleMs;
  }

  #reserved(): number {
    return sumBytes([...this.#places.values()]);
  }

  /** Bytes that pinned bases leave to others. */
  #reach(guest: MemoryGuest): number {
    const pinned = [...this.#places.values()].filter(
      (place) => place.guest !== guest && this.#pinned.has(place.guest.base),
    );
    return this.#options.limitBytes - sumBytes(pinned);
  }

  /** Wakes when time alone will change something. */
  #sleep(now: number, head: Waiter | null): void {
    if (this.#wake) clearTimeout(this.#wake);
    this.#wake = null;
    const { idleMs, lingerMs, patienceMs } = this.#options;
    const idle = this.#idle();
    const times = [
      ...(idleMs > 0 ? idle.map(({ usedAt }) => usedAt + idleMs) : []),
      ...(head ? [head.since + patienceMs, ...idle.map(({ usedAt }) => usedAt + lingerMs)] : []),
    ].filter((time) => time > now);
    if (times.length === 0) return;
    // A timer may come a moment early; the millisecond makes sure that its time has come.
    this.#wake = setTimeout(() => this.#settle(), Math.min(...times) - now + 1);
    this.#wake.unref();
  }

  #tooLarge({ guest, bytes }: Waiter): CorralError {
    const params = {
      model: guest.base,
      needed: formatBytes(bytes),
      available: formatBytes(Math.max(0, this.#reach(guest))),
    };
    return new CorralError('model_too_large', { params });
  }

  #noRoom({ guest, bytes }: Waiter): CorralError {
    const others = this.#movable().map(
      ({ guest: { base }, users }) => `"${base}" (${users} running)`,
    );
    const reason =
      `"${guest.base}" needs ${formatBytes(bytes)} of memory; ${formatBytes(this.#reserved())} of ` +
      `${formatBytes(this.#options.limitBytes)} are taken by ${others.join(', ') || 'others'}`;
    return new CorralError('overloaded', {
      params: { reason },
      details: {
        needed_bytes: bytes,
        limit_bytes: this.#options.limitBytes,
        reserved_bytes: this.#reserved(),
        retry_after_seconds: retryAfterSeconds,
      },
    });
  }
}

/** An abort's reason is whatever its caller gave. */
const asError = (reason: unknown): Error =>
  reason instanceof Error ? reason : new Error('aborted', { cause: reason });

const sumBytes = (places: readonly Place[]): number =>
  places.reduce((sum, { bytes }) => sum + bytes, 0);
