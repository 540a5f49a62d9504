// What goes wrong with a server that somebody else runs, and what it means to the caller: which CorralError,
// and whether the same request may be sent again. Nothing that a key could be read from leaves here.
import { CorralError } from '@corral/contracts';
import type { ErrorCode, ErrorParameters } from '@corral/contracts';

interface FailureOptions {
  /** Sending the request again may help. */
  readonly transient?: boolean;
  /** The server cannot be talked to at all. */
  readonly unreachable?: boolean;
  readonly code?: ErrorCode;
  readonly params?: ErrorParameters;
  readonly param?: string | null;
  readonly retryAfterSeconds?: number | null;
  readonly cause?: unknown;
}

export class UpstreamFailure extends Error {
  override readonly name = 'UpstreamFailure';
  readonly transient: boolean;
  readonly unreachable: boolean;
  readonly retryAfterSeconds: number | null;
  readonly #options: FailureOptions;

  constructor(reason: string, options: FailureOptions = {}) {
    super(reason, options.cause === undefined ? {} : { cause: options.cause });
    this.transient = options.transient ?? false;
    this.unreachable = options.unreachable ?? false;
    this.retryAfterSeconds = options.retryAfterSeconds ?? null;
    this.#options = options;
  }

  /** As the caller sees it. @param model the engine's id */
  toCorralError(model: string): CorralError {
    const { code = this.unreachable ? 'engine_unavailable' : 'engine_failed' } = this.#options;
    const reason =
      code === 'engine_unavailable' ? this.message : `the server of "${model}": ${this.message}`;
    return new CorralError(code, {
      params: { model, reason, ...this.#options.params },
      param: this.#options.param ?? null,
      ...(this.retryAfterSeconds === null
        ? {}
        : { details: { retry_after_seconds: this.retryAfterSeconds } }),
      cause: this,
    });
  }
}

/** Characters of an upstream's own words that are passed on. */
const maxWords = 300;

/** The message in an error body of OpenAI's shape, llama-server's, vLLM's or Ollama's; else its beginning. */
export function wordsOf(body: string): string {
  try {
    const parsed = JSON.parse(body) as Record<string, unknown> | null;
    const error = parsed?.['error'];
    const found =
      typeof error === 'object' && error !== null && 'message' in error
        ? error.message
        : (error ?? parsed?.['message'] ?? parsed?.['detail']);
    if (typeof found === 'string') return found.slice(0, maxWords);
  } catch {
    // No JSON: its beginning says what it is.
  }
  return body.slice(0, maxWords);
}

/** Seconds of a Retry-After header: a number, or the time until a date (RFC 9110, 10.2.3). */
export function retryAfterSeconds(header: string | undefined, now = Date.now()): number | null {
  if (header === undefined) return null;
  const seconds = /^\d+(\.\d+)?$/.test(header) ? Number(header) : (Date.parse(header) - now) / 1000;
  return Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0), 86_400) : null;
}

const numberIn = (text: string, pattern: RegExp): number | null => {
  const [, digits] = pattern.exec(text) ?? [];
  return digits === undefined ? null : Number(digits);
};

/** Every server has its own words for a prompt that is too long; null: it is something else. */
function contextFailure(body: string, words: string): UpstreamFailure | null {
  const isContext =
    /"(exceed_context_size_error|context_length_exceeded)"/.test(body) ||
    /maximum context length|exceeds the (available )?context/i.test(words);
  if (!isContext) return null;
  const prompt_tokens =
    numberIn(body, /"n_prompt_tokens":\s*(\d+)/) ??
    numberIn(words, /request(?:ed)? \(?(\d+) (?:input )?tokens/) ??
    'too many';
  const n_ctx =
    numberIn(body, /"n_ctx":\s*(\d+)/) ??
    numberIn(words, /context length (?:is|of) (\d+)/) ??
    'its own number of';
  return new UpstreamFailure(words, {
    code: 'context_length_exceeded',
    params: { prompt_tokens, max_tokens: 'as asked', n_ctx },
    param: 'messages',
  });
}

export interface FailedAnswer {
  readonly status: number;
  readonly body: string;
  readonly retryAfter: string | undefined;
}

/** What a status other than success means. */
export function statusFailure({ status, body, retryAfter }: FailedAnswer): UpstreamFailure {
  const words = wordsOf(body);
  const seconds = retryAfterSeconds(retryAfter);
  if (status === 401 || status === 403)
    // Servers quote the key in these.
    return new UpstreamFailure(`it refused the key (HTTP ${status})`, {
      code: 'engine_unavailable',
    });
  if (status === 404)
    return new UpstreamFailure(`it knows no such model or route (HTTP 404: ${words})`, {
      code: 'engine_unavailable',
    });
  if (status === 429)
    return new UpstreamFailure(`too many requests (HTTP 429: ${words})`, {
      code: 'rate_limit_exceeded',
      transient: true,
      retryAfterSeconds: seconds ?? 1,
    });
  if (status >= 300 && status < 400)
    return new UpstreamFailure(`it redirects (HTTP ${status}); give the address itself`, {
      code: 'engine_unavailable',
    });
  if (status >= 500 || status === 408)
    return new UpstreamFailure(`HTTP ${status}: ${words}`, {
      transient: true,
      retryAfterSeconds: seconds,
      ...(status === 503 ? { code: 'engine_unavailable' } : {}),
    });
  return (
    contextFailure(body, words) ??
    new UpstreamFailure(`it refused the request (HTTP ${status}): ${words}`, {
      code: 'invalid_request',
    })
  );
}

const reasons: Readonly<Record<string, string>> = {
  ENOTFOUND: 'its host name is not known',
  EAI_AGAIN: 'its host name cannot be resolved',
  ECONNREFUSED: 'nothing listens at its address',
  EHOSTUNREACH: 'its host cannot be reached',
  ENETUNREACH: 'its network cannot be reached',
  ERR_PRIVATE_ADDRESS: 'its address is not public; its setting needs private_network: true',
  UND_ERR_CONNECT_TIMEOUT: 'no connection in time',
  ECONNRESET: 'the connection was cut',
  UND_ERR_SOCKET: 'the connection was cut',
  EPIPE: 'the connection was cut',
};
const notWorthIt = new Set(['ERR_PRIVATE_ADDRESS', 'ENOTFOUND']);
const isConnected = new Set(['ECONNRESET', 'UND_ERR_SOCKET', 'EPIPE']);

/** What a socket throws. */
export function socketFailure(error: unknown): UpstreamFailure {
  if (error instanceof UpstreamFailure) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const words = error instanceof Error ? error.message : String(error);
  return new UpstreamFailure(reasons[code] ?? words, {
    transient: code !== '' && !notWorthIt.has(code),
    unreachable: !isConnected.has(code),
    cause: error,
  });
}
