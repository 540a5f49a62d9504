// Lines of a text file as a stream: bounded memory however long the file. It accepts CRLF and a
// byte-order mark; what cannot be a line (too long, not UTF-8) is handed on as a problem with its row,
// so that a person sees every bad row at once. It does not know what a line means.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { CorralError } from '@corral/contracts';

/** One example of a context of a million tokens is about 4 MB; beyond this it is no row at all. */
export const maxRowBytes: number = 16 * 1024 * 1024;

export interface RowProblem {
  readonly reason: string;
  readonly fix: string;
}

/** The text of one row, as a line or another part of the file. */
export interface Line {
  /** One-based. */
  readonly row: number;
  readonly text: string;
  readonly problem?: RowProblem;
}

export interface LineReaderOptions {
  readonly maxBytes?: number;
  /** Called with the raw bytes as they pass, for hashing or progress. */
  readonly onChunk?: (chunk: Uint8Array) => void;
}

const newline = 0x0a;

export const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'EISDIR');

/** Chunks of a file; a missing file is CorralError `file_not_found`. */
export async function* readChunks(path: string): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 256 * 1024 })) {
      yield chunk as Buffer;
    }
  } catch (error) {
    if (isMissing(error))
      throw new CorralError('file_not_found', { params: { path }, cause: error });
    throw error;
  }
}

/** The parts of one row as they come; beyond the limit only the length is counted. */
export class RowBytes {
  private parts: Buffer[] = [];
  private length = 0;
  private readonly maxBytes: number;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  get isEmpty(): boolean {
    return this.length === 0;
  }

  push(part: Buffer): void {
    if (part.length === 0) return;
    this.length += part.length;
    if (this.length <= this.maxBytes) this.parts.push(part);
    else this.parts = [];
  }

  /** The row so far as text, without a byte-order mark; begins the next row. */
  take(row: number): Line {
    const { length, maxBytes } = this;
    const raw = this.parts.length === 1 ? this.parts[0] : Buffer.concat(this.parts);
    this.parts = [];
    this.length = 0;
    if (length > maxBytes || raw === undefined) {
      const reason = `the row has ${length} bytes; the limit is ${maxBytes}`;
      return { row, text: '', problem: { reason, fix: 'put one example in each row' } };
    }
    try {
      return { row, text: decoder.decode(raw) };
    } catch {
      const problem = { reason: 'not valid UTF-8', fix: 'save the file as UTF-8' };
      return { row, text: '', problem };
    }
  }
}

// Fatal, so that wrong bytes are named; it also drops a byte-order mark at the start of a row.
const decoder = new TextDecoder('utf-8', { fatal: true });

/**
 * The lines of chunks without their ends (LF or CRLF). A last line without a newline counts; what follows
 * the last newline, when empty, does not.
 */
export async function* splitLines(
  chunks: AsyncIterable<Buffer>,
  { maxBytes = maxRowBytes, onChunk }: LineReaderOptions = {},
): AsyncGenerator<Line> {
  const bytes = new RowBytes(maxBytes);
  let row = 1;
  const take = (): Line => {
    const line = bytes.take(row);
    row += 1;
    return line.text.endsWith('\r') ? { ...line, text: line.text.slice(0, -1) } : line;
  };
  for await (const chunk of chunks) {
    onChunk?.(chunk);
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      bytes.push(chunk.subarray(start, end));
      start = end + 1;
      yield take();
    }
    bytes.push(chunk.subarray(start));
  }
  if (!bytes.isEmpty) yield take();
}

/** The lines of a file. Throws CorralError `file_not_found`. */
export function readLines(path: string, options: LineReaderOptions = {}): AsyncGenerator<Line> {
  return splitLines(readChunks(path), options);
}

/** SHA-256 of a file, lower-case hexadecimal, in constant memory. */
export async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of readChunks(path)) hash.update(chunk);
  return hash.digest('hex');
}
