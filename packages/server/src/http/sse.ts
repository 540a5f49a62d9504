// Server-sent events on a hijacked reply: bounded queue, drain and close handled, an error event before
// any early end. Fastify's own reply is bypassed because a web stream costs eight times as much an event.
import type { FastifyReply } from 'fastify';
import type { CorralError } from '@corral/contracts';

export interface SseStream {
  /** True once the client has gone or the stream has ended. */
  readonly closed: boolean;
  /** Aborted when the client goes away or the server shuts down. */
  readonly signal: AbortSignal;
  /** One `data:` event of JSON. Waits while the client reads slowly; rejects nothing when it has gone. */
  send(value: unknown): Promise<void>;
  /** An OpenAI-shaped error event, then the end. */
  fail(error: CorralError): Promise<void>;
  /** `data: [DONE]`, then the end. */
  done(): Promise<void>;
}

export function openSse(_reply: FastifyReply): SseStream {
  throw new Error('to come');
}
