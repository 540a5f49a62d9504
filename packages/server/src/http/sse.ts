// Server-sent events on a hijacked reply. Bounded: a sender waits while the client reads slowly. Whoever
// waits is let go when the client leaves (`close` of the response: `close` of the request comes when its
// body has been read). A failure is sent as an error event before the end, never a silent cut. Fastify's
// own stream reply is not used: a web stream costs eight times as much an event.
import type { ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { CorralError, toErrorBody } from '@corral/contracts';
import type { FastifyReply } from 'fastify';

export interface SseStream {
  /** True once the client has gone or the stream has ended. */
  readonly closed: boolean;
  /** Aborted when the client goes away or the server shuts down. */
  readonly signal: AbortSignal;
  /** One `data:` event of JSON. Waits while the client reads slowly; does nothing when it has gone. */
  send(value: unknown): Promise<void>;
  /** Events that are already in their frames. The promise is there only when the sender must wait. */
  write(frames: string): Promise<void> | undefined;
  /** An OpenAI-shaped error event, then the end. */
  fail(error: CorralError): Promise<void>;
  /** `data: [DONE]`, then the end. */
  done(): Promise<void>;
}

/** Bytes a client may be behind before its sender waits. */
const maxBufferedBytes = 256 * 1024;
/** For a client that has stopped reading to take the last words of a server that shuts down. */
const lastWordsMilliseconds = 2000;

const streamHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  connection: 'keep-alive',
  'x-accel-buffering': 'no',
};

interface OpenStream {
  readonly stop: (error: CorralError) => void;
  /** Cuts the connection. */
  readonly cut: () => void;
  readonly ended: Promise<void>;
}

/** Proxies give up on connections that are silent for a minute, and a long prompt takes longer. */
const quietMilliseconds = 15_000;
/** A comment of an event stream: clients skip it. */
const signOfLife = ': still working\n\n';

/** All open streams of a server, so that a shutdown can end them with a word. */
export class SseStreams {
  readonly #open = new Set<OpenStream>();
  readonly #quietMilliseconds: number;
  #stopped = false;

  /** `quiet`: milliseconds of silence before a sign of life. */
  constructor({ quiet = quietMilliseconds }: { readonly quiet?: number } = {}) {
    this.#quietMilliseconds = quiet;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Takes over the reply: sends the status line and headers at once. */
  open(reply: FastifyReply): SseStream {
    reply.hijack();
    const { raw, request } = reply;
    const left = new AbortController();
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    raw.writeHead(200, { ...headersOf(reply), ...streamHeaders, 'x-request-id': request.id });
    const entry: OpenStream = {
      cut: () => void raw.destroy(),
      stop: (error: CorralError) => {
        left.abort(error);
        void stream.fail(error);
      },
      ended,
    };
    this.#open.add(entry);
    const leave = (): void => {
      awake.stop();
      this.#open.delete(entry);
      left.abort(new CorralError('cancelled'));
      end();
    };
    const isClosed = (): boolean => raw.destroyed || raw.writableEnded;
    raw.once('close', leave);
    raw.once('error', leave);

    const socket = directSocket(raw);
    const awake = keepAwake(() => {
      if (behind(raw) === 0) void write(signOfLife);
    }, this.#quietMilliseconds);
    let draining: Promise<void> | undefined;
    const write = (text: string): Promise<void> | undefined => {
      if (isClosed()) return undefined;
      awake.hasSpoken = true;
      if (socket === null) raw.write(text);
      else writeChunk(socket, text);
      if (behind(raw) <= maxBufferedBytes) return undefined;
      // Many answers share a stream: all of them wait for the one drain.
      draining ??= drained(raw, socket).finally(() => {
        draining = undefined;
      });
      return draining;
    };
    const close = async (last: string): Promise<void> => {
      if (isClosed()) return;
      raw.end(last);
      await ended;
    };
    const stream: SseStream = {
      get closed() {
        return isClosed();
      },
      signal: left.signal,
      send: async (value) => write(`data: ${JSON.stringify(value)}\n\n`),
      write,
      fail: (error) => close(`data: ${JSON.stringify(toErrorBody(error, String(request.id)))}\n\n`),
      done: () => close('data: [DONE]\n\n'),
    };
    // A client that left before its first event has had its `close`; another does not come.
    if (raw.destroyed) leave();
    else if (this.#stopped) entry.stop(shuttingDown());
    return stream;
  }

  /**
   * Ends every stream with an error event and waits until the sockets have taken it; those whose clients
   * do not read are cut. Idempotent.
   */
  async closeAll(): Promise<void> {
    this.#stopped = true;
    const open = [...this.#open];
    for (const { stop } of open) stop(shuttingDown());
    const late = setTimeout(() => {
      for (const { cut } of open) cut();
    }, lastWordsMilliseconds);
    await Promise.all(open.map(({ ended }) => ended));
    clearTimeout(late);
  }
}

/** Calls `speak` after each interval in which nothing was said. */
function keepAwake(speak: () => void, milliseconds: number) {
  const awake = { hasSpoken: false, stop: (): void => clearInterval(timer) };
  const timer = setInterval(() => {
    if (!awake.hasSpoken) speak();
    awake.hasSpoken = false;
  }, milliseconds);
  return awake;
}

/**
 * Where chunks can be written in one piece: node's own response writes length, text and line ends of a chunk
 * as four buffers, which costs a third of the time that a token takes in this process. Null where the response
 * does the framing otherwise: HTTP/1.0, or no socket at all.
 */
function directSocket(raw: ServerResponse): Socket | null {
  raw.flushHeaders();
  return raw.chunkedEncoding && raw.socket instanceof Socket ? raw.socket : null;
}

/** One chunk of RFC 9112, 7.1. */
function writeChunk(socket: Socket, text: string): void {
  const bytes = Buffer.byteLength(text);
  // What is all ASCII needs no encoding.
  const encoding = bytes === text.length ? 'latin1' : 'utf8';
  socket.write(`${bytes.toString(16)}\r\n${text}\r\n`, encoding);
}

const behind = (raw: ServerResponse): number => raw.socket?.writableLength ?? raw.writableLength;

/** Until the client has read what it was behind, or has gone. */
const drained = (raw: ServerResponse, socket: Socket | null): Promise<void> =>
  new Promise((resolve) => {
    const source = socket ?? raw;
    const finish = (): void => {
      source.off('drain', finish);
      raw.off('close', finish);
      resolve();
    };
    source.on('drain', finish);
    raw.on('close', finish);
  });

const shuttingDown = (): CorralError =>
  new CorralError('overloaded', { params: { reason: 'the server is shutting down' } });

const headersOf = (reply: FastifyReply): Record<string, string> =>
  Object.fromEntries(
    Object.entries(reply.getHeaders()).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, Array.isArray(value) ? value.join(', ') : String(value)]],
    ),
  );
