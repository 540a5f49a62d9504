// Walks through the head of a file, little-endian, never past a byte limit: the bytes of a value are
// known to exist before anything is allocated for it. Knows nothing of formats; `what` names the value
// in errors.
import type { ByteSource } from './byte-source.ts';
import { FormatError } from './format-error.ts';

/** Read first: the whole header of an adapter. */
const firstWindowBytes = 64 * 1024;
/** Read at once afterwards; a header of 49,152 tokens takes two such reads. */
const windowBytes = 1024 * 1024;

export class HeaderCursor {
  readonly #source: ByteSource;
  readonly #end: number;
  readonly #limitName: string;
  #window = new Uint8Array(0);
  #view = new DataView(new ArrayBuffer(0));
  #windowStart = 0;
  #position = 0;

  /** Reads `source` from its first byte to `maxBytes` at most. */
  constructor(source: ByteSource, maxBytes: number) {
    this.#source = source;
    this.#end = Math.min(source.size, maxBytes);
    this.#limitName =
      source.size <= maxBytes
        ? `the end of the file at ${source.size}`
        : `the limit of ${maxBytes} bytes for a header`;
  }

  get position(): number {
    return this.#position;
  }

  /** Bytes between here and the end of the file or the limit. */
  get remaining(): number {
    return this.#end - this.#position;
  }

  /** True when `bytes` lie in the window, so that the synchronous readers may be called. */
  has(bytes: number): boolean {
    return this.#position + bytes <= this.#windowStart + this.#window.byteLength;
  }

  /** Brings `bytes` into the window; FormatError when the file has fewer. */
  async need(bytes: number, what: string): Promise<void> {
    if (this.has(bytes)) return;
    if (bytes > this.remaining)
      throw new FormatError(
        `${what} at byte ${this.#position} needs ${bytes} bytes, past ${this.#limitName}`,
      );
    const usual = this.#window.byteLength === 0 ? firstWindowBytes : windowBytes;
    const length = Math.min(this.remaining, Math.max(bytes, usual));
    this.#window = await this.#source.read(this.#position, length);
    this.#view = new DataView(this.#window.buffer);
    this.#windowStart = this.#position;
  }

  #advance(bytes: number): number {
    const at = this.#position - this.#windowStart;
    this.#position += bytes;
    return at;
  }

  uint8(): number {
    return this.#view.getUint8(this.#advance(1));
  }
  int8(): number {
    return this.#view.getInt8(this.#advance(1));
  }
  uint16(): number {
    return this.#view.getUint16(this.#advance(2), true);
  }
  int16(): number {
    return this.#view.getInt16(this.#advance(2), true);
  }
  uint32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }
  int32(): number {
    return this.#view.getInt32(this.#advance(4), true);
  }
  float32(): number {
    return this.#view.getFloat32(this.#advance(4), true);
  }
  float64(): number {
    return this.#view.getFloat64(this.#advance(8), true);
  }
  uint64(): bigint {
    return this.#view.getBigUint64(this.#advance(8), true);
  }
  int64(): bigint {
    return this.#view.getBigInt64(this.#advance(8), true);
  }

  /** The next `length` bytes; a view that is valid until the next `need`. */
  bytes(length: number): Uint8Array<ArrayBuffer> {
    const at = this.#advance(length);
    return this.#window.subarray(at, at + length);
  }

  /** A 64-bit count, refused above `max` and above what the rest of the file can hold. */
  count(what: string, max: number, minBytesEach: number): number {
    const at = this.#position;
    // A hundred thousand strings have a length each, and big integers are slow.
    const [low, high] = [this.uint32(), this.uint32()];
    if (high === 0 && low <= max && low * minBytesEach <= this.remaining) return low;
    const count = (BigInt(high) << 32n) | BigInt(low);
    if (count > BigInt(max))
      throw new FormatError(`${what} at byte ${at} is ${count}; the limit is ${max}`);
    if (count * BigInt(minBytesEach) > BigInt(this.remaining))
      throw new FormatError(`${what} at byte ${at} is ${count}, past ${this.#limitName}`);
    return Number(count);
  }
}
