// One HTTP exchange with a Corral server: adds the key, checks the answer against its contract, turns
// every failure into a CorralError with the server's own message and next step. Browser-safe: knows
// `fetch` and nothing of Node, of terminals, or of which routes exist.
import { CorralError, errorCodes, type ErrorCode, type ErrorParameters } from '@corral/contracts';

/** A contract to read an answer with: any Zod schema fits. */
export interface AnswerContract<T> {
  safeParse(
    value: unknown,
  ): { success: true; data: T } | { success: false; error: { message: string } };
}

export interface ClientOptions {
  /** Root of the server, with or without the trailing `/v1`: `http://127.0.0.1:7788`. */
  readonly baseUrl: string;
  readonly apiKey?: string;
  /** Aborts every request of this client. */
  readonly signal?: AbortSignal;
  readonly fetch?: typeof globalThis.fetch;
}

interface RequestOptions<T> {
  readonly method?: 'GET' | 'POST' | 'DELETE';
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  /** Sent as JSON unless it is a FormData. */
  readonly body?: unknown;
  readonly contract: AnswerContract<T>;
  readonly signal?: AbortSignal | undefined;
}

export interface Transport {
  readonly baseUrl: string;
  readonly request: <T>(path: string, options: RequestOptions<T>) => Promise<T>;
}

/** A failure that the server described: its own words instead of the table's template. */
export class CorralApiError extends CorralError {
  readonly requestId: string | null;
  readonly #status: number;
  readonly #next: string | null;

  constructor(body: {
    readonly code: ErrorCode;
    readonly message: string;
    readonly status: number;
    readonly next: string | null;
    readonly param: string | null;
    readonly requestId: string | null;
    readonly details: Record<string, unknown> | undefined;
  }) {
    const params: ErrorParameters = { request_id: body.requestId ?? '-' };
    super(body.code, { params, param: body.param, ...(body.details && { details: body.details }) });
    this.message = body.message;
    this.requestId = body.requestId;
    this.#status = body.status;
    this.#next = body.next;
  }

  override get status(): number {
    return this.#status;
  }

  override get next(): string {
    return this.#next ?? super.next;
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const textOrNull = (value: unknown): string | null => (typeof value === 'string' ? value : null);
const knownCode = (value: unknown): ErrorCode =>
  errorCodes.find((code) => code === value) ?? 'internal_error';

/** Reads OpenAI's error body, with Corral's next step when it is there. */
export function readErrorBody(status: number, body: unknown): CorralApiError {
  const error = isRecord(body) && isRecord(body['error']) ? body['error'] : {};
  const corral = isRecord(body) && isRecord(body['corral']) ? body['corral'] : {};
  return new CorralApiError({
    code: knownCode(error['code']),
    message: textOrNull(error['message']) ?? `The server answered with HTTP status ${status}.`,
    status,
    next: textOrNull(corral['next']),
    param: textOrNull(error['param']),
    requestId: textOrNull(corral['request_id']),
    details: isRecord(corral['details']) ? corral['details'] : undefined,
  });
}

/** The server's root from whatever a person or credentials file gives: no `/v1`, no last slash. */
export const serverRoot = (baseUrl: string): string =>
  baseUrl.replace(/\/+$/, '').replace(/\/v1$/, '').replace(/\/+$/, '');

function addressOf(
  root: string,
  path: string,
  query: NonNullable<RequestOptions<unknown>['query']>,
) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) parameters.set(name, String(value));
  }
  const text = parameters.toString();
  return `${root}${path}${text === '' ? '' : `?${text}`}`;
}

async function readJson(response: Response): Promise<unknown> {
  const text = await response.text();
  try {
    return text === '' ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

const joinSignals = (signals: readonly (AbortSignal | undefined)[]): AbortSignal | null => {
  const present = signals.filter((signal) => signal !== undefined);
  return present.length === 0 ? null : AbortSignal.any(present);
};

/** Requests against one server. @throws CorralError always; `cancelled` when a signal fired. */
export function createTransport(options: ClientOptions): Transport {
  const { apiKey, signal: clientSignal, fetch = globalThis.fetch } = options;
  const baseUrl = serverRoot(options.baseUrl);

  async function send<T>(path: string, request: RequestOptions<T>): Promise<Response> {
    const { method = 'GET', query = {}, body, signal } = request;
    const headers: Record<string, string> = { accept: 'application/json' };
    if (apiKey !== undefined) headers['authorization'] = `Bearer ${apiKey}`;
    const form = body instanceof FormData;
    if (body !== undefined && !form) headers['content-type'] = 'application/json';
    const joined = joinSignals([clientSignal, signal]);
    try {
      return await fetch(addressOf(baseUrl, path, query), {
        method,
        headers,
        ...(body !== undefined && { body: form ? body : JSON.stringify(body) }),
        ...(joined && { signal: joined }),
      });
    } catch (cause) {
      if (joined?.aborted) throw new CorralError('cancelled', { cause });
      throw new CorralError('server_unreachable', { params: { base_url: baseUrl }, cause });
    }
  }

  return {
    baseUrl,
    async request<T>(path: string, request: RequestOptions<T>): Promise<T> {
      const response = await send(path, request);
      const body = await readJson(response);
      if (!response.ok) throw readErrorBody(response.status, body);
      const answer = request.contract.safeParse(body);
      if (answer.success) return answer.data;
      throw new CorralApiError({
        code: 'internal_error',
        message: `The answer of ${request.method ?? 'GET'} ${path} is not what this client knows: ${answer.error.message}`,
        status: response.status,
        next: 'Client and server are probably of different versions; compare "corral --version" with "corral status".',
        param: null,
        requestId: response.headers.get('x-request-id'),
        details: undefined,
      });
    },
  };
}
