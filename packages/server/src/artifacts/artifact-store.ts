// Content-addressed files under CORRAL_HOME/artifacts: named by SHA-256, written aside, synced, renamed.
// A file that is there is whole. Knows no projects: who may read what is the caller's table.
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { CorralError } from '@corral/contracts';

interface StoredArtifact {
  /** Lower-case hexadecimal. */
  readonly sha256: string;
  readonly bytes: number;
  readonly path: string;
}

/** Written and synced, but not yet under its name. */
export interface StagedArtifact {
  readonly sha256: string;
  readonly bytes: number;
  /** Puts it in its place (or finds the same content there already). */
  publish(): Promise<StoredArtifact>;
  /** Forgets it. Harmless after `publish`. */
  discard(): Promise<void>;
}

interface PutOptions {
  /** Refuse more than this with `payload_too_large`. */
  readonly maxBytes?: number;
}

export interface ArtifactStore {
  /** Stores a stream, or a copy of the file at a path. */
  put(source: Readable | string, options?: PutOptions): Promise<StoredArtifact>;
  /** The same in two steps, for callers that must write a row in between. */
  stage(source: Readable | string, options?: PutOptions): Promise<StagedArtifact>;
  /** Where an artefact lies (or would lie). */
  path(sha256: string): string;
  has(sha256: string): Promise<boolean>;
  /** Reads the file again and compares; throws `digest_mismatch`. */
  verify(sha256: string): Promise<StoredArtifact>;
  remove(sha256: string): Promise<void>;
}

export function createArtifactStore(folder: string): ArtifactStore {
  const path = (sha256: string): string => {
    if (!/^[0-9a-f]{64}$/.test(sha256)) throw new Error(`Not a SHA-256: "${sha256}"`);
    return join(folder, 'sha256', sha256.slice(0, 2), sha256);
  };
  const stage = async (
    source: Readable | string,
    { maxBytes = Number.POSITIVE_INFINITY }: PutOptions = {},
  ): Promise<StagedArtifact> => {
    const aside = join(folder, 'incoming', randomUUID());
    const { sha256, bytes } = await writeAside(aside, toStream(source), maxBytes);
    return {
      sha256,
      bytes,
      async publish() {
        const target = path(sha256);
        await mkdir(dirname(target), { recursive: true });
        await rename(aside, target);
        await syncFolder(dirname(target));
        return { sha256, bytes, path: target };
      },
      discard: () => rm(aside, { force: true }),
    };
  };
  return {
    path,
    stage,
    put: async (source, options) => (await stage(source, options)).publish(),
    async has(sha256) {
      const found = await stat(path(sha256)).catch(absent);
      return found?.isFile() ?? false;
    },
    async verify(sha256) {
      const file = path(sha256);
      const hash = createHash('sha256');
      let bytes = 0;
      for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
        hash.update(chunk);
        bytes += chunk.length;
      }
      const found = hash.digest('hex');
      if (found !== sha256)
        throw new CorralError('digest_mismatch', {
          params: { path: file, found, expected: sha256 },
        });
      return { sha256, bytes, path: file };
    },
    remove: (sha256) => rm(path(sha256), { force: true }),
  };
}

const toStream = (source: Readable | string): Readable =>
  typeof source === 'string' ? createReadStream(source) : source;

const absent = (error: unknown): null => {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
  throw error;
};

async function writeAside(
  aside: string,
  source: Readable,
  maxBytes: number,
): Promise<{ sha256: string; bytes: number }> {
  await mkdir(dirname(aside), { recursive: true });
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    const file = await open(aside, 'wx', 0o600);
    try {
      for await (const chunk of source as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        if (bytes > maxBytes)
          throw new CorralError('payload_too_large', {
            params: { bytes: `more than ${maxBytes}`, limit: maxBytes },
          });
        hash.update(chunk);
        await file.writeFile(chunk);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    return { sha256: hash.digest('hex'), bytes };
  } catch (error) {
    await rm(aside, { force: true });
    throw error;
  }
}

/** Makes a rename durable. Folders cannot be opened for sync on Windows. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
