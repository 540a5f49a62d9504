// A sliding window of normalised characters in typed columns: code point, original span, flags. Indices
// are absolute and never change; what no scanner needs any more is trimmed from the front.

/** Stands where a long run of invisible characters was left out: matches nothing, joins nothing. */
export const breakCode = -1;

const initialCapacity = 256;
/** Trimming moves memory, so it waits until this many characters can go. */
const trimStep = 1_024;

export class CharBuffer {
  #base = 0;
  #count = 0;
  #codes = new Int32Array(initialCapacity);
  #starts = new Int32Array(initialCapacity);
  #ends = new Int32Array(initialCapacity);
  #flags = new Uint16Array(initialCapacity);

  /** Absolute index one past the newest character. */
  get length(): number {
    return this.#base + this.#count;
  }

  push(code: number, start: number, end: number, flags: number): void {
    if (this.#count === this.#codes.length) this.#grow();
    const at = this.#count;
    this.#codes[at] = code;
    this.#starts[at] = start;
    this.#ends[at] = end;
    this.#flags[at] = flags;
    this.#count += 1;
  }

  #grow(): void {
    const widen = <T extends Int32Array | Uint16Array>(column: T, wider: T): T => {
      wider.set(column);
      return wider;
    };
    const capacity = this.#codes.length * 2;
    this.#codes = widen(this.#codes, new Int32Array(capacity));
    this.#starts = widen(this.#starts, new Int32Array(capacity));
    this.#ends = widen(this.#ends, new Int32Array(capacity));
    this.#flags = widen(this.#flags, new Uint16Array(capacity));
  }

  /** Code point at an absolute index; `breakCode` outside the window. */
  code(index: number): number {
    return index < this.length ? (this.#codes[index - this.#base] ?? breakCode) : breakCode;
  }
  /** Flags at an absolute index; 0 outside the window. */
  flags(index: number): number {
    return index < this.length ? (this.#flags[index - this.#base] ?? 0) : 0;
  }
  /** Offset in the original text where the character's cluster starts; the index must be inside. */
  start(index: number): number {
    return this.#starts[index - this.#base] ?? 0;
  }
  end(index: number): number {
    return this.#ends[index - this.#base] ?? 0;
  }

  /** Forgets what lies before `index`, in steps. */
  trim(index: number): void {
    const drop = index - this.#base;
    if (drop < trimStep) return;
    for (const column of [this.#codes, this.#starts, this.#ends, this.#flags]) {
      column.copyWithin(0, drop, this.#count);
    }
    this.#base += drop;
    this.#count -= drop;
  }
}
