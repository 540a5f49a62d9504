// HTTP to one server that somebody else runs: its key, its time-outs, no redirects, no private address unless
// that is what the operator wrote. Answers JSON and events; what they mean is known elsewhere.
import type { LookupFunction } from 'node:net';
import { Agent, EnvHttpProxyAgent, request } from 'undici';
import type { Dispatcher } from 'undici';
import { isLiteralHost, publicLookup } from '../../net/address-guard.ts';
import type { RemoteEngineSettings } from './remote-settings.ts';
import { SseParser, SseTooLongError } from './sse-parser.ts';
import { socketFailure, statusFailure, UpstreamFailure } from './upstream-failure.ts';

/** One event, one JSON answer: log-probabilities of a long chunk stay far below. */
const maxEventLength = 2 ** 20;
const maxJsonBytes = 64 * 2 ** 20;
const maxErrorBytes = 16 * 2 ** 10;

export type ClientSettings = Pick<
  RemoteEngineSettings,
  | 'base_url'
  | 'apiKey'
  | 'private_network'
  | 'connect_seconds'
  | 'first_token_seconds'
  | 'between_tokens_seconds'
>;

interface UpstreamCall {
  /** After the base URL; with `fromRoot` after what is before its `/v1`. */
  readonly path: string;
  readonly fromRoot?: boolean;
  /** JSON; absent: a GET. */
  readonly body?: object;
  readonly signal?: AbortSignal | undefined;
}

export interface UpstreamClient {
  /** Any JSON. Throws UpstreamFailure. */
  json(call: UpstreamCall): Promise<unknown>;
  /**
   * The data of each event until the stream ends; leaving early ends the request. `hasBegun` says whether
   * the next wait is one for the first token or between tokens. Throws UpstreamFailure.
   */
  events(call: UpstreamCall, hasBegun: () => boolean): AsyncGenerator<string>;
  close(): Promise<void>;
}

/** An address in figures is meant as it stands; a name must be public, or private by setting. */
function createDispatcher({ base_url, private_network, connect_seconds }: ClientSettings) {
  const { hostname } = new URL(base_url);
  const isGuarded = !private_network && !isLiteralHost(hostname);
  const lookup: { lookup?: LookupFunction } = isGuarded ? { lookup: publicLookup() } : {};
  const options = {
    connect: { timeout: connect_seconds * 1000, ...lookup },
    // Time is kept here, token by token.
    headersTimeout: 0,
    bodyTimeout: 0,
  };
  // What is near is not behind the proxy of the environment.
  return isGuarded ? new EnvHttpProxyAgent(options) : new Agent(options);
}

async function readBounded(body: Body, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new UpstreamFailure(`its answer has more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Fails with what took too long; the caller's own abort passes through. */
class Deadline {
  readonly #controller = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  arm(seconds: number, what: string): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#controller.abort(new UpstreamFailure(`${what} within ${seconds} s`));
    }, seconds * 1000);
  }

  signal(outer: AbortSignal | undefined): AbortSignal {
    return outer ? AbortSignal.any([outer, this.#controller.signal]) : this.#controller.signal;
  }

  /** The time-out, if that is why something failed. */
  explain(error: unknown): unknown {
    return this.#controller.signal.aborted ? this.#controller.signal.reason : error;
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}

type Body = Dispatcher.ResponseData['body'];

/** One request; its body when the status says success. */
function createSender({ base_url, apiKey }: ClientSettings, dispatcher: Dispatcher) {
  const root = base_url.replace(/\/v1$/, '');
  /** A server may quote what it was sent. */
  const withoutKey = (text: string): string =>
    apiKey === null || apiKey === '' ? text : text.replaceAll(apiKey, '***');

  return async (call: UpstreamCall, signal: AbortSignal): Promise<Body> => {
    const { path, fromRoot = false, body } = call;
    const answer = await request(`${fromRoot ? root : base_url}${path}`, {
      dispatcher,
      signal,
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        'user-agent': 'corral',
        ...(apiKey === null ? {} : { authorization: `Bearer ${apiKey}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    // Readers get the error from their loop; this one hears of a body that nobody reads to its end.
    answer.body.on('error', () => undefined);
    if (answer.statusCode >= 200 && answer.statusCode < 300) return answer.body;
    const text = withoutKey(await readBounded(answer.body, maxErrorBytes));
    const retryAfter = answer.headers['retry-after'];
    throw statusFailure({
      status: answer.statusCode,
      body: text,
      retryAfter: Array.isArray(retryAfter) ? retryAfter[0] : retryAfter,
    });
  };
}

export function createUpstreamClient(settings: ClientSettings): UpstreamClient {
  const { first_token_seconds, between_tokens_seconds } = settings;
  const dispatcher = createDispatcher(settings);
  const send = createSender(settings, dispatcher);

  return {
    async json(call) {
      const deadline = new Deadline();
      deadline.arm(first_token_seconds, 'no answer');
      try {
        const body = await send(call, deadline.signal(call.signal));
        return parseJson(await readBounded(body, maxJsonBytes));
      } catch (error) {
        call.signal?.throwIfAborted();
        throw socketFailure(deadline.explain(error));
      } finally {
        deadline.end();
      }
    },

    async *events(call, hasBegun) {
      const deadline = new Deadline();
      deadline.arm(first_token_seconds, 'no token');
      try {
        const body = await send(call, deadline.signal(call.signal));
        const parser = new SseParser(maxEventLength);
        for await (const chunk of body as AsyncIterable<Uint8Array>) {
          // Waits of ours, while the reader is busy, are not the server's.
          if (hasBegun()) deadline.end();
          yield* parser.push(chunk);
          if (hasBegun()) deadline.arm(between_tokens_seconds, 'no further token');
        }
      } catch (error) {
        call.signal?.throwIfAborted();
        if (error instanceof SseTooLongError) throw new UpstreamFailure(error.message);
        throw socketFailure(deadline.explain(error));
      } finally {
        deadline.end();
      }
    },

    close: () => dispatcher.destroy(),
  };
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new UpstreamFailure(`it sent what is not JSON: ${text.slice(0, 80)}`, { cause });
  }
}
