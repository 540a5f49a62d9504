// Where bytes come from: a file (positional reads, no mmap, so that a file cut while it is open is an
// error and not a SIGBUS) or memory. Every parser of this package reads through this seam alone.
import { open, stat } from 'node:fs/promises';
import { FormatError } from './format-error.ts';

export interface ByteSource extends AsyncDisposable {
  /** For messages: the path, or what the caller called it. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /**
   * Exactly `length` bytes from `offset`, in an array of their own that starts at byte 0 of its buffer.
   * Throws FormatError when the range is not inside the source.
   */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Idempotent. */
  close(): Promise<void>;
}

function checkRange(source: ByteSource, offset: number, length: number): void {
  const inside =
    Number.isSafeInteger(offset) &&
    Number.isSafeInteger(length) &&
    offset >= 0 &&
    length >= 0 &&
    offset + length <= source.size;
  if (inside) return;
  const reason = `bytes ${offset} to ${offset + length} were needed, but the file ends at ${source.size}`;
  throw new FormatError(reason, { path: source.name });
}

/** A source over bytes in memory; they must not change while it is used. */
export function memorySource(bytes: Uint8Array, name = ''): ByteSource {
  const source: ByteSource = {
    name,
    size: bytes.byteLength,
    read: async (offset, length) => {
      checkRange(source, offset, length);
      return new Uint8Array(bytes.subarray(offset, offset + length));
    },
    close: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  return source;
}

/**
 * A source over a regular file. Its size is taken once; a file that shrinks later makes reads fail.
 * Throws FormatError for what is no regular file, and Node's own error (ENOENT, EACCES) otherwise.
 */
export async function openFileSource(path: string): Promise<ByteSource> {
  // stat first: opening a FIFO would wait for a writer.
  if (!(await stat(path)).isFile()) throw new FormatError('this is not a regular file', { path });
  const handle = await open(path, 'r');
  const { size } = await handle.stat();
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => (closing ??= handle.close());
  const source: ByteSource = {
    name: path,
    size,
    read: async (offset, length) => {
      checkRange(source, offset, length);
      const bytes = new Uint8Array(length);
      let done = 0;
      while (done < length) {
        const { bytesRead } = await handle.read(bytes, done, length - done, offset + done);
        if (bytesRead === 0) throw new FormatError(`the file was cut while it was read`, { path });
        done += bytesRead;
      }
      return bytes;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
  return source;
}
