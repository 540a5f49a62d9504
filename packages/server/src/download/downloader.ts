// One file from one URL, for sure: resumed by Range where it was cut, hashed while it streams, refused
// when the digest differs, renamed only when whole. Does not know what the file is for.
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { CorralError } from '@corral/contracts';
import { ensureFreeSpace } from './disk-space.ts';
import type { FreeBytes } from './disk-space.ts';
import { asDownloadError, DownloadError, statusError } from './http-client.ts';
import type { GetResponse, HttpClient } from './http-client.ts';
import { PartFile } from './part-file.ts';
import { RateMeter } from './rate-meter.ts';

export interface DownloadProgress {
  readonly bytes: number;
  readonly total: number | null;
  readonly bytes_per_second: number;
}

export interface DownloadOptions {
  readonly url: string;
  readonly target: string;
  readonly client: HttpClient;
  /** Lower-case hex; null where the source publishes none (then only the length is checked). */
  readonly expectedSha256: string | null;
  readonly expectedBytes?: number | null;
  readonly maxBytes: number;
  readonly token?: string | null;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Attempts in a row without a single new byte before giving up. */
  readonly attempts?: number;
  /** First pause; doubles, with jitter, up to 15 s. */
  readonly backoffMs?: number;
  readonly measureFreeBytes?: FreeBytes | undefined;
}

export interface DownloadResult {
  readonly sha256: string;
  readonly bytes: number;
  /** Bytes that were already there. */
  readonly resumed_from: number;
}

const maxBackoffMs = 15_000;
const progressEveryMs = 100;

/** `bytes 100-199/1000` → start and total (null for `*`). RFC 9110, 14.4. */
function parseContentRange(value: string | undefined): { start: number; total: number | null } {
  const match = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(value ?? '');
  if (!match)
    throw new DownloadError('the source sent no valid Content-Range', { transient: false });
  return { start: Number(match[1]), total: match[2] === '*' ? null : Number(match[2]) };
}

/** Only a strong validator may stand in If-Range (RFC 9110, 13.1.5). */
const validatorOf = (headers: Record<string, string>): string | null => {
  const etag = headers['etag'];
  return etag !== undefined && !etag.startsWith('W/') ? etag : (headers['last-modified'] ?? null);
};

function requestHeaders(part: PartFile, url: string): Record<string, string> {
  if (part.bytes === 0) return { 'accept-encoding': 'identity' };
  const validator = part.state?.url === url ? part.state.validator : null;
  return {
    'accept-encoding': 'identity',
    range: `bytes=${part.bytes}-`,
    ...(validator ? { 'if-range': validator } : {}),
  };
}

/** Puts the part where the answer starts and says how long the whole will be. */
async function alignPart(part: PartFile, answer: GetResponse): Promise<number | null> {
  const { status, headers } = answer;
  if ((headers['content-encoding'] ?? 'identity') !== 'identity') {
    throw new DownloadError('the source compresses the file in transit', { transient: false });
  }
  if (status === 206) {
    const range = parseContentRange(headers['content-range']);
    if (range.start === part.bytes) return range.total;
    await part.reset();
    throw new DownloadError('the source sent another range than asked for', { transient: true });
  }
  if (status === 200) {
    await part.reset();
    const length = headers['content-length'];
    return length === undefined ? null : Number(length);
  }
  if (status === 416) {
    await part.reset();
    throw new DownloadError('the source has fewer bytes than are here', { transient: true });
  }
  throw statusError(status, headers);
}

function checkTotal(total: number | null, options: DownloadOptions): void {
  const expected = options.expectedBytes ?? null;
  if (total !== null && expected !== null && total !== expected) {
    const message = `the source offers ${total} bytes, ${expected} are expected`;
    throw new DownloadError(message, { transient: false });
  }
  if ((total ?? 0) > options.maxBytes) {
    const message = `${total} bytes are more than the limit of ${options.maxBytes}`;
    throw new DownloadError(message, { transient: false });
  }
}

async function receive(
  part: PartFile,
  answer: GetResponse,
  options: DownloadOptions,
): Promise<void> {
  const total = await alignPart(part, answer);
  checkTotal(total, options);
  const wanted = total ?? options.expectedBytes ?? null;
  await ensureFreeSpace({
    folder: dirname(options.target),
    bytes: Math.max((wanted ?? 0) - part.bytes, 0),
    purpose: 'the download',
    measure: options.measureFreeBytes,
  });
  const { url, expectedSha256: sha256 } = options;
  await part.describe({ url, sha256, validator: validatorOf(answer.headers), total: wanted });
  const limit = wanted ?? options.maxBytes;
  const meter = new RateMeter();
  meter.record(part.bytes);
  let reported = 0;
  const report = (): void =>
    options.onProgress?.({
      bytes: part.bytes,
      total: wanted,
      bytes_per_second: meter.bytesPerSecond(),
    });
  for await (const chunk of answer.body as AsyncIterable<Buffer>) {
    if (part.bytes + chunk.length > limit) {
      throw new DownloadError(`the source sent more than ${limit} bytes`, { transient: false });
    }
    await part.append(chunk);
    meter.record(part.bytes);
    if (performance.now() - reported >= progressEveryMs) {
      reported = performance.now();
      report();
    }
  }
  report();
  if (wanted !== null && part.bytes < wanted) {
    throw new DownloadError(`cut after ${part.bytes} of ${wanted} bytes`, { transient: true });
  }
}

async function attempt(part: PartFile, options: DownloadOptions): Promise<void> {
  if (part.bytes > 0 && part.bytes === part.state?.total) return;
  const answer = await options.client.get(options.url, {
    headers: requestHeaders(part, options.url),
    token: options.token ?? null,
    signal: options.signal,
  });
  try {
    await receive(part, answer, options);
  } catch (error) {
    answer.body.destroy();
    throw asDownloadError(error, options.signal);
  }
}

/** Runs attempts until the part is whole; an attempt that brought bytes starts the count again. */
async function fill(part: PartFile, options: DownloadOptions): Promise<void> {
  const { attempts = 4, backoffMs = 500 } = options;
  for (let failures = 0; ;) {
    const before = part.bytes;
    try {
      await attempt(part, options);
      return;
    } catch (error) {
      if (!(error instanceof DownloadError) || !error.transient) throw error;
      failures = part.bytes > before ? 1 : failures + 1;
      if (failures >= attempts) throw error;
      const pause =
        Math.min(backoffMs * 2 ** (failures - 1), maxBackoffMs) * (0.5 + Math.random() / 2);
      await delay(error.retryAfterMs ?? pause, undefined, { signal: options.signal });
    }
  }
}

const mismatch = (options: DownloadOptions, found: string): CorralError =>
  new CorralError('digest_mismatch', {
    params: { path: options.url, found, expected: options.expectedSha256 ?? '' },
  });

/**
 * Downloads `url` to `target`. What was fetched before a failure or a cancel stays as `.part` and is
 * continued by the next call.
 * Errors: DownloadError (the source failed), digest_mismatch (bytes removed), disk_too_small, cancelled.
 */
export async function downloadFile(options: DownloadOptions): Promise<DownloadResult> {
  const { url, expectedSha256: sha256, signal } = options;
  const part = await PartFile.open(options.target, { url, sha256, signal });
  const resumedFrom = part.bytes;
  try {
    await fill(part, options);
    if (sha256 !== null && part.digest() !== sha256 && resumedFrom > 0) {
      // The old part may be to blame (a damaged disk block, another version): once more, from zero.
      await part.reset();
      await fill(part, options);
    }
    const found = part.digest();
    if (sha256 !== null && found !== sha256) {
      await part.discard();
      throw mismatch(options, found);
    }
    const bytes = part.bytes;
    await part.commit();
    return { sha256: found, bytes, resumed_from: resumedFrom };
  } catch (error) {
    await part.close();
    if (signal?.aborted) throw new CorralError('cancelled', { cause: error });
    throw error;
  }
}
