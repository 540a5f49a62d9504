// Lines of a text file as a stream: bounded memory however long the file. It accepts CRLF and a
// byte-order mark; what cannot be a line (too long, not UTF-8) is handed on as a problem with its row,
// so that a person sees every bad row at once. It does not know what a line means.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { CorralError } from '@corral/contracts';

/** One example of a context of a million tokens is about 4 MB; beyond this a file is not JSONL at all. */
const maxLineBytes = 16 * 1024 * 1024;

export interface RowProblem {
  readonly reason: string;
  readonly fix: string;
}

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

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'EISDIR');

/** Chunks of a file; a missing file is CorralError `file_not_found`. */
async function* readChunks(path: string): AsyncGenerator<Buffer> {
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

/**
 * The lines of a file without their ends. A last line without a newline counts; what follows the last
 * newline, when empty, does not.
 */
export async function* readLines(
  path: string,
  { maxBytes = maxLineBytes, onChunk }: LineReaderOptions = {},
): AsyncGenerator<Line> {
  let parts: Buffer[] = [];
  let bytes = 0;
  let row = 1;
  const push = (part: Buffer): void => {
    bytes += part.length;
    // Beyond the limit only the length is counted: the line is refused, not kept.
    if (bytes <= maxBytes) parts.push(part);
  };
  const take = (): Line => {
    const line = finishLine(row, bytes > maxBytes ? null : Buffer.concat(parts), {
      bytes,
      maxBytes,
    });
    parts = [];
    bytes = 0;
    row += 1;
    return line;
  };
  for await (const chunk of readChunks(path)) {
    onChunk?.(chunk);
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      push(chunk.subarray(start, end));
      start = end + 1;
      yield take();
    }
    if (start < chunk.length) push(chunk.subarray(start));
  }
  if (bytes > 0) yield take();
}

// Fatal, so that wrong bytes are named; it also drops a byte-order mark at the start of a line.
const decoder = new TextDecoder('utf-8', { fatal: true });

function finishLine(
  row: number,
  raw: Buffer | null,
  { bytes, maxBytes }: { bytes: number; maxBytes: number },
): Line {
  if (raw === null) {
    const reason = `the line has ${bytes} bytes; the limit is ${maxBytes}`;
    return { row, text: '', problem: { reason, fix: 'put one example on each line' } };
  }
  const end = raw.at(-1) === 0x0d ? raw.length - 1 : raw.length;
  try {
    return { row, text: decoder.decode(raw.subarray(0, end)) };
  } catch {
    return { row, text: '', problem: { reason: 'not valid UTF-8', fix: 'save the file as UTF-8' } };
  }
}

/** SHA-256 of a file, lower-case hexadecimal, in constant memory. */
export async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of readChunks(path)) hash.update(chunk);
  return hash.digest('hex');
}
