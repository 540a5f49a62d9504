// A download in the making: `TARGET.part` and, beside it, `TARGET.part.json` that says which bytes
// these are. Keeps the SHA-256 of what is there; after a restart the existing bytes are hashed again
// rather than trusted. Knows nothing of HTTP.
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';

const stateSchema = z.object({
  schema: z.literal('corral-part/1'),
  /** Pinned digest of the whole file; the same digest may be continued from any source. */
  sha256: z.string().nullable(),
  url: z.string(),
  /** Strong ETag or Last-Modified of the representation, for If-Range. */
  validator: z.string().nullable(),
  total: z.int().nullable(),
});
export type PartState = z.infer<typeof stateSchema>;

const statePath = (target: string): string => `${target}.part.json`;
const partPath = (target: string): string => `${target}.part`;

async function readState(target: string): Promise<PartState | null> {
  try {
    const text = await readFile(statePath(target), 'utf8');
    return stateSchema.parse(JSON.parse(text));
  } catch {
    return null; // Missing or damaged: the part is of unknown origin and starts afresh.
  }
}

async function hashFile(
  path: string,
  signal?: AbortSignal,
): Promise<{ hash: Hash; bytes: number }> {
  const hash = createHash('sha256');
  let bytes = 0;
  const stream = createReadStream(path, { highWaterMark: 2 ** 20, ...(signal ? { signal } : {}) });
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { hash, bytes };
}

/** Makes a finished rename survive power loss; not every file system can, which is no error. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => null);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}

const isSameContent = (state: PartState, url: string, sha256: string | null): boolean =>
  sha256 === null
    ? state.sha256 === null && state.url === url && state.validator !== null
    : state.sha256 === sha256;

export class PartFile {
  readonly target: string;
  state: PartState | null;
  bytes: number;
  #hash: Hash;
  #handle: FileHandle;

  private constructor(
    target: string,
    parts: { state: PartState | null; handle: FileHandle; hash: Hash; bytes: number },
  ) {
    this.target = target;
    this.state = parts.state;
    this.bytes = parts.bytes;
    this.#hash = parts.hash;
    this.#handle = parts.handle;
  }

  /** Opens or creates the part; existing bytes are kept only when they belong to the same content. */
  static async open(
    target: string,
    source: { url: string; sha256: string | null; signal?: AbortSignal | undefined },
  ): Promise<PartFile> {
    await mkdir(dirname(target), { recursive: true });
    const state = await readState(target);
    const keep = state !== null && isSameContent(state, source.url, source.sha256);
    // Appending, so that after a truncation writes go to the new end and not behind a hole.
    const handle = await open(partPath(target), 'a');
    try {
      if (!keep) {
        await handle.truncate(0);
        return new PartFile(target, { state: null, handle, hash: createHash('sha256'), bytes: 0 });
      }
      const { hash, bytes } = await hashFile(partPath(target), source.signal);
      return new PartFile(target, { state, handle, hash, bytes });
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  async describe(state: Omit<PartState, 'schema'>): Promise<void> {
    this.state = { schema: 'corral-part/1', ...state };
    await writeFile(statePath(this.target), JSON.stringify(this.state));
  }

  async append(chunk: Uint8Array): Promise<void> {
    await this.#handle.writeFile(chunk);
    this.#hash.update(chunk);
    this.bytes += chunk.length;
  }

  /** Forgets the bytes, keeps the file: the source answered with the whole content again. */
  async reset(): Promise<void> {
    await this.#handle.truncate(0);
    this.bytes = 0;
    this.#hash = createHash('sha256');
  }

  /** SHA-256 of the bytes so far, lower-case hex. */
  digest(): string {
    return this.#hash.copy().digest('hex');
  }

  /** The part becomes the target, atomically. */
  async commit(): Promise<void> {
    await this.#handle.sync();
    await this.#handle.close();
    await rename(partPath(this.target), this.target);
    await rm(statePath(this.target), { force: true });
    await syncFolder(dirname(this.target));
  }

  async discard(): Promise<void> {
    await this.close();
    await rm(partPath(this.target), { force: true });
    await rm(statePath(this.target), { force: true });
  }

  /** Keeps the bytes for the next attempt. Idempotent. */
  async close(): Promise<void> {
    await this.#handle.close().catch(() => undefined);
  }
}
