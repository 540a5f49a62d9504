// Tokenised examples on disk, read where they are needed: however many there are, memory holds none. Two
// files: `NAME.tokens` with the records (packed-examples.ts) and `NAME.index` with sixteen bytes for each:
// float64 offset of the record, uint32 tokens, uint32 row. Both in the byte order of this machine's family
// (little-endian); they are a cache of one run, not a format to hand on.
import { closeSync, fstatSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { CorralError } from '@corral/contracts';
import type { ExampleStore } from './data-set.ts';
import type { EncodedExample } from './encode.ts';
import { readRecord } from './packed-examples.ts';

const entryBytes = 16;
/** Entries read at once when all rows are gone through. */
const entriesAtOnce = 65_536;
const bufferBytes = 1 << 20;

/** Writes in large pieces. */
class BufferedFile {
  private readonly file: number;
  private readonly buffer = Buffer.alloc(bufferBytes);
  private filled = 0;
  private closed = false;
  written = 0;

  constructor(path: string) {
    this.file = openSync(path, 'w', 0o600);
  }

  write(bytes: Uint8Array): void {
    this.written += bytes.length;
    if (this.filled + bytes.length > bufferBytes) this.flush();
    if (bytes.length > bufferBytes) this.writeAll(bytes);
    else {
      this.buffer.set(bytes, this.filled);
      this.filled += bytes.length;
    }
  }

  /** Durable when it returns. */
  finish(): void {
    this.flush();
    fsyncSync(this.file);
    this.close();
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    closeSync(this.file);
  }

  private flush(): void {
    this.writeAll(this.buffer.subarray(0, this.filled));
    this.filled = 0;
  }

  private writeAll(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) at += writeSync(this.file, bytes, at);
  }
}

const tokensPath = (path: string): string => `${path}.tokens`;
const indexPath = (path: string): string => `${path}.index`;

/** Appends records to new files. */
export class ExampleWriter implements Disposable {
  private readonly tokens: BufferedFile;
  private readonly index: BufferedFile;
  private readonly entry = new DataView(new ArrayBuffer(entryBytes));
  count = 0;
  /** Positions fed by one pass: the last token of an example is only ever a target. */
  inputTokens = 0;

  /** `path` without an ending; files that are there are replaced. */
  constructor(path: string) {
    this.tokens = new BufferedFile(tokensPath(path));
    this.index = new BufferedFile(indexPath(path));
  }

  add(record: Uint8Array, { tokens, row }: { tokens: number; row: number }): void {
    this.entry.setFloat64(0, this.tokens.written, true);
    this.entry.setUint32(8, tokens, true);
    this.entry.setUint32(12, row, true);
    this.index.write(new Uint8Array(this.entry.buffer));
    this.tokens.write(record);
    this.count += 1;
    this.inputTokens += tokens - 1;
  }

  /** What `ExampleFile.open` needs; the files are durable then. */
  finish(): ExampleFileShape {
    this.tokens.finish();
    this.index.finish();
    return { count: this.count, inputTokens: this.inputTokens, bytes: this.tokens.written };
  }

  [Symbol.dispose](): void {
    this.tokens.close();
    this.index.close();
  }
}

export interface ExampleFileShape {
  readonly count: number;
  readonly inputTokens: number;
  /** Of the records. */
  readonly bytes: number;
}

interface Entry {
  readonly offset: number;
  readonly tokens: number;
  readonly row: number;
}

export class ExampleFile implements ExampleStore, Disposable {
  readonly count: number;
  readonly inputTokens: number;
  private readonly bytes: number;
  private readonly tokens: number;
  private readonly index: number;
  private readonly entryBuffer = Buffer.alloc(2 * entryBytes);
  private closed = false;

  /** Throws Node's error when a file is missing, RangeError when they do not have the stated sizes. */
  constructor(path: string, { count, inputTokens, bytes }: ExampleFileShape) {
    this.count = count;
    this.inputTokens = inputTokens;
    this.bytes = bytes;
    this.tokens = openSync(tokensPath(path), 'r');
    this.index = openSync(indexPath(path), 'r');
    const fits =
      fstatSync(this.tokens).size === bytes && fstatSync(this.index).size === count * entryBytes;
    if (fits) return;
    this[Symbol.dispose]();
    throw new RangeError(`"${path}" does not have the sizes it should have`);
  }

  get(index: number): EncodedExample {
    const { offset, tokens, end } = this.entryAt(index);
    const record = new Uint8Array(end - offset);
    this.readAll(this.tokens, record, offset);
    return readRecord(record, tokens);
  }

  rowOf(index: number): number {
    return this.entryAt(index).row;
  }

  *rows(): Generator<number> {
    const block = Buffer.alloc(entriesAtOnce * entryBytes);
    for (let first = 0; first < this.count; first += entriesAtOnce) {
      const count = Math.min(entriesAtOnce, this.count - first);
      this.readAll(this.index, block.subarray(0, count * entryBytes), first * entryBytes);
      for (let at = 0; at < count; at += 1) yield block.readUInt32LE(at * entryBytes + 12);
    }
  }

  /** Idempotent. Use after it throws CorralError `closed`. */
  [Symbol.dispose](): void {
    if (this.closed) return;
    this.closed = true;
    closeSync(this.tokens);
    closeSync(this.index);
  }

  private entryAt(index: number): Entry & { end: number } {
    if (!(index >= 0 && index < this.count)) throw new RangeError(`there is no example ${index}`);
    const isLast = index === this.count - 1;
    const wanted = this.entryBuffer.subarray(0, isLast ? entryBytes : 2 * entryBytes);
    this.readAll(this.index, wanted, index * entryBytes);
    return {
      offset: wanted.readDoubleLE(0),
      tokens: wanted.readUInt32LE(8),
      row: wanted.readUInt32LE(12),
      end: isLast ? this.bytes : wanted.readDoubleLE(entryBytes),
    };
  }

  private readAll(file: number, into: Uint8Array, position: number): void {
    if (this.closed) throw new CorralError('closed', { params: { what: 'the examples' } });
    for (let at = 0; at < into.length;) {
      const read = readSync(file, into, at, into.length - at, position + at);
      if (read === 0) throw new RangeError('a file of examples became shorter');
      at += read;
    }
  }
}
