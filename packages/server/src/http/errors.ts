// Whatever goes wrong leaves as OpenAI's error body with a stable code. Foreseen errors say what to do;
// everything else is a defect: logged whole, shown only as a request id.
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { CorralError, newId, toErrorBody } from '@corral/contracts';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';

/** Call on the root instance. */
export function registerErrorHandling(app: FastifyInstance, bodyLimit: number): void {
  app.setErrorHandler((thrown: FastifyError | Error, request, reply) => {
    const error = toCorralError(thrown, request, bodyLimit);
    if (error.status >= 500)
      request.log.error({ err: thrown, code: error.code }, 'The request failed.');
    return sendError(reply, error, request.id);
  });
  app.setNotFoundHandler((request, reply) =>
    sendError(
      reply,
      new CorralError('route_not_found', {
        params: { method: request.method, path: request.url.split('?')[0] ?? '' },
      }),
      request.id,
    ),
  );
}

/** Answers what never reaches a route: a URL that cannot be read. No hook has run for it. */
export function sendUnrouted(error: Error, request: FastifyRequest, reply: FastifyReply): void {
  const reason = `The URL cannot be read: ${error.message}.`;
  const refusal = new CorralError('invalid_request', { params: { reason }, cause: error });
  sendError(reply.header('x-request-id', request.id), refusal, request.id);
}

/** Answers bytes that are no HTTP request, or too much of one, on the bare socket. */
export function sendUnparsed(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const status = unparsedStatus[error.code ?? ''] ?? 400;
  const reason = `This is no HTTP request that can be read: ${error.message}.`;
  const id = newId('request');
  const body = JSON.stringify(
    toErrorBody(new CorralError('invalid_request', { params: { reason } }), id),
  );
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${id}`,
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}
const unparsedStatus: Readonly<Record<string, number>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 408,
  HPE_HEADER_OVERFLOW: 431,
};

function sendError(reply: FastifyReply, error: CorralError, requestId: string): FastifyReply {
  if (error.status === 429 || error.status === 503) {
    const seconds = error.details?.['retry_after_seconds'];
    void reply.header('retry-after', String(typeof seconds === 'number' ? Math.ceil(seconds) : 1));
  }
  // Who sets a deadline has no use for an answer after it; clients retry a 504 by themselves.
  if (error.code === 'deadline_exceeded') void reply.header('x-should-retry', 'false');
  if (error.status === 401) void reply.header('www-authenticate', 'Bearer');
  // The route's own response schemas describe its success; an error has its own shape.
  return reply
    .status(error.status)
    .type('application/json; charset=utf-8')
    .serializer((body: unknown) => JSON.stringify(body))
    .send(toErrorBody(error, requestId));
}

/** What a thrown value means to the person who sent the request. */
function toCorralError(
  thrown: unknown,
  request: Pick<FastifyRequest, 'id' | 'headers'>,
  bodyLimit: number,
): CorralError {
  if (CorralError.isInstance(thrown)) return thrown;
  if (hasZodFastifySchemaValidationErrors(thrown)) return fromValidation(thrown.validation);
  const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : '';
  const refuse = (reason: string): CorralError =>
    new CorralError('invalid_request', { params: { reason }, cause: thrown });
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return new CorralError('payload_too_large', {
      params: { bytes: request.headers['content-length'] ?? 'too many', limit: bodyLimit },
    });
  if (code === 'FST_ERR_CTP_INVALID_JSON_BODY' || thrown instanceof SyntaxError)
    return refuse(`The body is not valid JSON: ${thrown instanceof Error ? thrown.message : ''}`);
  if (code === 'FST_ERR_CTP_EMPTY_JSON_BODY') return refuse('The body is empty; JSON is expected.');
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return refuse(`The content type "${request.headers['content-type'] ?? ''}" is not accepted.`);
  if (unstorable.has(code))
    return refuse('A value cannot be stored: text without the character U+0000 is needed.');
  if (code === uniqueViolation) {
    const reason = 'Another request has just made a thing of the same name.';
    return new CorralError('conflict', { params: { reason }, cause: thrown });
  }
  if (isDatabaseGone(thrown, code))
    return new CorralError('database_unreachable', {
      params: { reason: code || messageOf(thrown) },
      cause: thrown,
    });
  const status =
    thrown instanceof Error && 'statusCode' in thrown ? Number(thrown.statusCode) : 500;
  if (status >= 400 && status < 500 && thrown instanceof Error) return refuse(thrown.message);
  return new CorralError('internal_error', { params: { request_id: request.id }, cause: thrown });
}

/** SQLSTATE of a row whose key is taken: names are looked up first, so only two at once come here. */
const uniqueViolation = '23505';

/** SQLSTATEs of characters that Postgres has no place for, in text and in JSON. */
const unstorable: ReadonlySet<string> = new Set(['22021', '22P05', '22P02']);

const messageOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : '');

/** What pg and its pool say, without a code, of a connection that was lost or could not be had. */
const lostConnection =
  /^(timeout exceeded when trying to connect|Connection terminated|Client has encountered a connection error)/;

/** The socket refused or gone; Postgres starting, stopping or crashed (SQLSTATE 57P), a link lost (08). */
const isDatabaseGone = (thrown: unknown, code: string): boolean =>
  /^(57P0|08)/.test(code) ||
  lostConnection.test(messageOf(thrown)) ||
  (thrown instanceof Error && 'syscall' in thrown && thrown.syscall === 'connect');

interface ValidationIssue {
  readonly instancePath: string;
  readonly message?: string | undefined;
}

/** Names the field at fault: OpenAI's `param`, dotted, array positions in brackets. */
function fromValidation(issues: readonly ValidationIssue[]): CorralError {
  const named = issues.map(({ instancePath, message }) => ({
    field: fieldName(instancePath),
    message: message ?? 'is not valid',
  }));
  const reason = named
    .slice(0, 5)
    .map(({ field, message }) => (field === '' ? message : `"${field}": ${message}`))
    .join('; ');
  return new CorralError('invalid_request', {
    params: { reason: reason || 'The request is not valid.' },
    param: named[0]?.field === undefined || named[0].field === '' ? null : named[0].field,
  });
}

const fieldName = (pointer: string): string =>
  pointer
    .split('/')
    .filter((part) => part !== '')
    .map((part, index) => (/^\d+$/.test(part) ? `[${part}]` : index === 0 ? part : `.${part}`))
    .join('');
