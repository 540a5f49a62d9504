// Where written files go: a file that appears under its name only when it is whole (written aside,
// synced, renamed), or memory. Writers of this package know nothing else of the outside.
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

export interface ByteSink {
  /** Appends; the caller may reuse `bytes` once the promise resolves. */
  write(bytes: Uint8Array): Promise<void>;
}

export interface FileSink extends ByteSink, AsyncDisposable {
  /** Makes the file durable and gives it its name. Nothing can be written afterwards. */
  commit(): Promise<void>;
  /** Idempotent; removes what was written unless `commit` was called. */
  close(): Promise<void>;
}

async function syncFolder(folder: string): Promise<void> {
  // Windows cannot open folders; its rename is durable enough without.
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A sink to `path`, which exists (or is replaced) only after `commit()`. */
export async function openFileSink(path: string): Promise<FileSink> {
  const partial = `${path}.partial-${process.pid}`;
  const handle = await open(partial, 'w', 0o644);
  let ending: Promise<void> | undefined;
  const end = async (keep: boolean): Promise<void> => {
    try {
      if (keep) await handle.sync();
    } catch (error) {
      // A full disk shows here, too; what lies aside would keep it full.
      await rm(partial, { force: true });
      throw error;
    } finally {
      await handle.close();
    }
    if (keep) await rename(partial, path);
    else await rm(partial, { force: true });
    if (keep) await syncFolder(dirname(path));
  };
  const close = (): Promise<void> => (ending ??= end(false));
  return {
    write: async (bytes) => {
      let done = 0;
      while (done < bytes.byteLength)
        done += (await handle.write(bytes, done, bytes.byteLength - done)).bytesWritten;
    },
    commit: () => (ending ??= end(true)),
    close,
    [Symbol.asyncDispose]: close,
  };
}

export interface MemorySink extends ByteSink {
  /** All that was written so far, as one array. */
  bytes(): Uint8Array<ArrayBuffer>;
}

/** A sink that keeps what is written. */
export function memorySink(): MemorySink {
  const parts: Uint8Array[] = [];
  return {
    write: (bytes) => {
      parts.push(bytes.slice());
      return Promise.resolve();
    },
    bytes: () => {
      const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
      let at = 0;
      for (const part of parts) {
        whole.set(part, at);
        at += part.byteLength;
      }
      return whole;
    },
  };
}
