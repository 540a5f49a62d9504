// GET over undici for downloads: short connect time-out, a few redirects followed by hand, a bearer token
// that never leaves the host it was meant for, and no way to addresses that are not public but to hosts that
// the operator named. Knows nothing of files or models.
import type { Readable } from 'node:stream';
import { CorralError } from '@corral/contracts';
import { EnvHttpProxyAgent, request } from 'undici';
import type { Dispatcher } from 'undici';
import { assertPublicHost, publicLookup } from '../net/address-guard.ts';

/** Unreachable sources must be passed over quickly: a person is waiting. */
const connectTimeoutMs = 4_000;
/** A body that stands still this long is taken for cut; the next attempt resumes it. */
const idleTimeoutMs = 30_000;
/** Hub → CDN needs one or two; more is a loop. */
const maxRedirects = 5;

/** A failed attempt: why, and whether the same request may succeed later. */
export class DownloadError extends Error {
  override readonly name = 'DownloadError';
  readonly transient: boolean;
  readonly retryAfterMs: number | null;

  constructor(
    message: string,
    options: { transient: boolean; retryAfterMs?: number | null; cause?: unknown },
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.transient = options.transient;
    this.retryAfterMs = options.retryAfterMs ?? null;
  }
}

interface GetOptions {
  readonly headers?: Record<string, string>;
  /** Sent as `Authorization: Bearer` to the origin of the first URL only. */
  readonly token?: string | null;
  readonly signal?: AbortSignal | undefined;
}

export interface GetResponse {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: Readable;
  /** After redirects. */
  readonly url: string;
}

export interface HttpClient {
  /** Any status but a redirect is returned; throws DownloadError when no answer comes. */
  get(url: string, options?: GetOptions): Promise<GetResponse>;
  /** A small JSON document; statuses other than 200 throw. */
  getJson(url: string, options?: GetOptions): Promise<unknown>;
  close(): Promise<void>;
}

const flatten = (headers: Record<string, string | string[] | undefined>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, Array.isArray(value) ? value.join(', ') : value]],
    ),
  );

const isRedirect = (status: number): boolean => [301, 302, 303, 307, 308].includes(status);

/** An https source never sends us on to plain http. */
function nextUrl(from: string, location: string | undefined): string {
  if (!location) throw new DownloadError('redirect without a location', { transient: false });
  const next = new URL(location, from);
  const downgrade = new URL(from).protocol === 'https:' && next.protocol !== 'https:';
  if (downgrade || !['https:', 'http:'].includes(next.protocol)) {
    throw new DownloadError(`redirect to ${next.protocol} refused`, { transient: false });
  }
  return next.href;
}

const reasons: Record<string, string> = {
  ENOTFOUND: 'host name unknown',
  EAI_AGAIN: 'host name cannot be resolved',
  ECONNREFUSED: 'connection refused',
  ERR_PRIVATE_ADDRESS:
    'its address is not public; serving it from there needs sources.trusted_hosts',
  UND_ERR_CONNECT_TIMEOUT: `no connection within ${connectTimeoutMs / 1000} s`,
  UND_ERR_BODY_TIMEOUT: `no data for ${idleTimeoutMs / 1000} s`,
  UND_ERR_HEADERS_TIMEOUT: `no answer within ${idleTimeoutMs / 1000} s`,
};
/** Not worth asking again: the host does not exist or nothing listens. */
const permanent = new Set([
  'ENOTFOUND',
  'ECONNREFUSED',
  'ERR_PRIVATE_ADDRESS',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** Turns what a socket throws into a DownloadError; an abort passes through unchanged. */
export function asDownloadError(error: unknown, signal?: AbortSignal): unknown {
  if (error instanceof DownloadError || CorralError.isInstance(error) || signal?.aborted) {
    return error;
  }
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === 'ENOSPC') return error;
  const reason = reasons[code] ?? (error instanceof Error ? error.message : String(error));
  return new DownloadError(code && !reasons[code] ? `${reason} (${code})` : reason, {
    transient: !permanent.has(code),
    cause: error,
  });
}

/** Metadata documents (file lists, indexes) stay far below this. */
const maxJsonBytes = 16 * 2 ** 20;

async function readText(body: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxJsonBytes) {
      throw new DownloadError('the list of files is too large', { transient: false });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Why a status other than success ends an attempt. 408, 429 and 5xx may pass (RFC 9110). */
export function statusError(status: number, headers: Record<string, string>): DownloadError {
  const hint =
    status === 401 || status === 403
      ? ': access refused; accept the licence at the source and set its token'
      : '';
  const seconds = Number(headers['retry-after']);
  return new DownloadError(`HTTP ${status}${hint}`, {
    transient: status === 408 || status === 429 || status >= 500,
    retryAfterMs: Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0), 30) * 1000 : null,
  });
}

interface Client {
  /** For a URL; throws when its host is an address that is not public. */
  readonly dispatcherFor: (url: URL) => Dispatcher;
  readonly close: () => Promise<void>;
}

/** Proxies are taken from HTTP_PROXY, HTTPS_PROXY and NO_PROXY, as by curl and pip. */
function createDispatchers(isTrusted: (url: URL) => boolean): Client {
  const times = { headersTimeout: idleTimeoutMs, bodyTimeout: idleTimeoutMs };
  const connect = { timeout: connectTimeoutMs };
  const open = new EnvHttpProxyAgent({ ...times, connect });
  // What a proxy connects to is the proxy's to judge; the look-up judges what we connect to ourselves.
  const guarded = new EnvHttpProxyAgent({
    ...times,
    connect: { ...connect, lookup: publicLookup() },
  });
  return {
    dispatcherFor: (url) => {
      if (isTrusted(url)) return open;
      assertPublicHost(url.hostname);
      return guarded;
    },
    close: async () => {
      await Promise.all([open.destroy(), guarded.destroy()]);
    },
  };
}

export interface HttpClientOptions {
  /** The operator named its host, which may be anywhere. Default: none. */
  readonly isTrusted?: (url: URL) => boolean;
}

export function createHttpClient({ isTrusted = () => false }: HttpClientOptions = {}): HttpClient {
  const client = createDispatchers(isTrusted);

  const get = async (first: string, options: GetOptions = {}): Promise<GetResponse> => {
    let url = first;
    for (let hop = 0; hop <= maxRedirects; hop++) {
      const sameOrigin = new URL(url).origin === new URL(first).origin;
      const headers = { 'user-agent': 'corral', ...options.headers } as Record<string, string>;
      if (options.token && sameOrigin) headers['authorization'] = `Bearer ${options.token}`;
      try {
        const answer = await request(url, {
          dispatcher: client.dispatcherFor(new URL(url)),
          headers,
          ...(options.signal ? { signal: options.signal } : {}),
        });
        const flat = flatten(answer.headers);
        if (!isRedirect(answer.statusCode)) {
          // Readers get the error from their loop; this one hears of a body that nobody reads to its end.
          answer.body.on('error', () => undefined);
          return { status: answer.statusCode, headers: flat, body: answer.body, url };
        }
        await answer.body.dump();
        url = nextUrl(url, flat['location']);
      } catch (error) {
        throw asDownloadError(error, options.signal);
      }
    }
    throw new DownloadError(`more than ${maxRedirects} redirects`, { transient: false });
  };

  const getJson = async (url: string, options: GetOptions = {}): Promise<unknown> => {
    const answer = await get(url, options);
    try {
      const text = await readText(answer.body);
      if (answer.status !== 200) throw statusError(answer.status, answer.headers);
      return JSON.parse(text);
    } catch (error) {
      if (error instanceof SyntaxError) {
        throw new DownloadError('the source did not answer with JSON', { transient: false });
      }
      throw asDownloadError(error, options.signal);
    }
  };

  return { get, getJson, close: client.close };
}
