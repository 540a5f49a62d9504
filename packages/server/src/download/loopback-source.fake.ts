// A web server on loopback that misbehaves on request: cuts, lies, refuses, redirects. Stands in for
// model hubs in tests; serves Range properly unless told otherwise.
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

interface SeenRequest {
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
}
export type Handler = (
  request: IncomingMessage,
  response: ServerResponse,
  nth: number,
) => void | Promise<void>;

export interface LoopbackSource extends AsyncDisposable {
  readonly url: string;
  readonly requests: SeenRequest[];
}

/** `nth` counts requests from 0. */
export async function startLoopbackSource(handler: Handler): Promise<LoopbackSource> {
  const requests: SeenRequest[] = [];
  const server = createServer((request, response) => {
    requests.push({ path: request.url ?? '', headers: request.headers });
    void handler(request, response, requests.length - 1);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Serves `content` with Range, If-Range and a strong ETag; `cutAt` ends the socket after that many bytes of the body. */
export function serveContent(
  request: IncomingMessage,
  response: ServerResponse,
  content: Buffer,
  options: { cutAt?: number; etag?: string } = {},
): void {
  const { cutAt, etag = '"v1"' } = options;
  const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
  const fresh = !request.headers['if-range'] || request.headers['if-range'] === etag;
  const start = range && fresh ? Number(range[1]) : 0;
  if (start >= content.length) {
    response.writeHead(416).end();
    return;
  }
  const body = content.subarray(start);
  response.writeHead(range && fresh ? 206 : 200, {
    etag,
    'content-length': body.length,
    ...(range && fresh
      ? { 'content-range': `bytes ${start}-${content.length - 1}/${content.length}` }
      : {}),
  });
  if (cutAt === undefined || cutAt >= body.length) {
    response.end(body);
    return;
  }
  response.write(body.subarray(0, cutAt), () => setTimeout(() => response.destroy(), 50));
}
