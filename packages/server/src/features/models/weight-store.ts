// Weights on disk under CORRAL_HOME/models: GGUF files named by their SHA-256, their re-encoded forms
// beside them, folders of safetensors by model. A file under its digest is whole.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { constants, copyFile, link, mkdir, rename, rm, stat } from 'node:fs/promises';
import { basename, join, resolve, sep } from 'node:path';
import { ensureFreeSpace } from '../../download/disk-space.ts';
import type { FreeBytes } from '../../download/disk-space.ts';

export interface StoredWeights {
  readonly sha256: string;
  readonly bytes: number;
  readonly path: string;
}

export interface WeightStore {
  /** Where a download is collected. */
  incoming(name: string): string;
  folder(id: string): string;
  path(sha256: string): string;
  /** The re-encoded form of a file, by the digest of the original. */
  servingPath(sha256: string, format: string): string;
  /** Moves a whole file of known digest to its place. */
  adopt(file: string, sha256: string): Promise<StoredWeights>;
  /** Copies (on file systems that can: without using space) a file of a person into the store. */
  copyIn(file: string, signal: AbortSignal): Promise<StoredWeights>;
  /** Gives a file of this server a name in the store, without using space where the file system can. */
  linkIn(file: string, signal: AbortSignal): Promise<StoredWeights>;
  ensureRoom(bytes: number, purpose: string): Promise<void>;
  /** Only files of this store are ever removed. */
  remove(path: string): Promise<void>;
}

/** SHA-256 of a file, lower-case hex. */
export async function hashFile(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  const stream = createReadStream(path, { highWaterMark: 2 ** 20, ...(signal ? { signal } : {}) });
  for await (const chunk of stream as AsyncIterable<Buffer>) hash.update(chunk);
  return hash.digest('hex');
}

/** Letters that are safe in a file name on every system. */
const safe = (name: string): string => name.replace(/[^\w.-]+/g, '_').slice(0, 120);

export function createWeightStore(
  root: string,
  { measure }: { measure?: FreeBytes | undefined } = {},
): WeightStore {
  const path = (sha256: string): string => join(root, `${safe(sha256)}.gguf`);
  const incoming = (name: string): string => join(root, 'incoming', safe(name));
  const copyIn = async (file: string, signal: AbortSignal): Promise<StoredWeights> => {
    const { size } = await stat(file);
    await ensureRoom(size, 'copying the weights');
    const copy = incoming(`${process.pid}-${performance.now()}-${basename(file)}`);
    await mkdir(join(root, 'incoming'), { recursive: true });
    try {
      await copyFile(file, copy, constants.COPYFILE_FICLONE);
      // The copy is hashed, not the original, which somebody may still be writing.
      return await adopt(copy, await hashFile(copy, signal));
    } finally {
      await rm(copy, { force: true });
    }
  };
  const adopt = async (file: string, sha256: string): Promise<StoredWeights> => {
    await mkdir(root, { recursive: true });
    const target = path(sha256);
    await rename(file, target);
    return { sha256, bytes: (await stat(target)).size, path: target };
  };
  const ensureRoom = (bytes: number, purpose: string): Promise<void> =>
    ensureFreeSpace({ folder: root, bytes, purpose, measure });
  return {
    incoming,
    folder: (id) => join(root, 'folders', safe(id)),
    path,
    servingPath: (sha256, format) => join(root, `${safe(sha256)}.${safe(format)}.gguf`),
    adopt,
    ensureRoom,
    copyIn,
    async linkIn(file, signal) {
      const sha256 = await hashFile(file, signal);
      const target = path(sha256);
      const name = `${target}.${process.pid}.link`;
      await mkdir(root, { recursive: true });
      await rm(name, { force: true });
      try {
        await link(file, name);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code !== 'EXDEV' && code !== 'EPERM' && code !== 'ENOTSUP') throw error;
        return copyIn(file, signal);
      }
      // A second name of the same file is left where it is by a rename.
      await rename(name, target);
      await rm(name, { force: true });
      return { sha256, bytes: (await stat(target)).size, path: target };
    },
    async remove(file) {
      const path = resolve(file);
      if (path.startsWith(resolve(root) + sep)) await rm(path, { force: true, recursive: true });
    },
  };
}
