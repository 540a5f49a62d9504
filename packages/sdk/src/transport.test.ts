import { CorralError, operationSchema } from '@corral/contracts';
import { describe, expect, it } from 'vitest';
import { createTransport, readErrorBody, serverRoot } from './transport.ts';

const answering =
  (status: number, body: unknown): typeof fetch =>
  async () =>
    new Response(typeof body === 'string' ? body : JSON.stringify(body), { status });
const transport = (fetch: typeof globalThis.fetch, signal?: AbortSignal) =>
  createTransport({ baseUrl: 'http://server/v1/', apiKey: 'k', fetch, ...(signal && { signal }) });
const anything = { safeParse: (data: unknown) => ({ success: true as const, data }) };
const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => expect.unreachable(),
    (error: unknown) => {
      expect(CorralError.isInstance(error)).toBe(true);
      return error as CorralError;
    },
  );

describe('serverRoot', () => {
  it.each(['http://a:1', 'http://a:1/', 'http://a:1/v1', 'http://a:1/v1/'])('of %s', (url) => {
    expect(serverRoot(url)).toBe('http://a:1');
  });
});

describe('request', () => {
  it('sends key, query and JSON, and leaves absent parameters out', async () => {
    const seen: { url: string; init: RequestInit }[] = [];
    const fetch: typeof globalThis.fetch = async (url, init = {}) => {
      seen.push({ url: url instanceof Request ? url.url : url.toString(), init });
      return new Response('{}');
    };
    await transport(fetch).request('/a', {
      method: 'POST',
      query: { after: undefined, limit: 2 },
      body: { x: 1 },
      contract: anything,
    });
    expect(seen[0]?.url).toBe('http://server/a?limit=2');
    expect(seen[0]?.init).toMatchObject({
      method: 'POST',
      body: '{"x":1}',
      headers: { authorization: 'Bearer k', 'content-type': 'application/json' },
    });
  });

  it('gives the server’s own message, next step, code and details', async () => {
    const body = {
      error: { message: 'No such model "x".', type: 't', param: 'model', code: 'model_not_found' },
      corral: { next: 'Look again.', request_id: 'req_1', details: { near: ['y'] } },
    };
    const error = await failure(
      transport(answering(404, body)).request('/a', { contract: anything }),
    );
    expect(error).toMatchObject({
      code: 'model_not_found',
      message: 'No such model "x".',
      next: 'Look again.',
      status: 404,
      param: 'model',
      details: { near: ['y'] },
    });
  });

  it.each([
    [502, '<html>Bad gateway</html>'],
    [500, { error: { code: 'of_another_version', message: 'Words.' } }],
    [503, ''],
    [400, { error: 'a string' }],
  ])('makes an error of status %i with the body %j', async (status, body) => {
    const error = await failure(
      transport(answering(status, body)).request('/a', { contract: anything }),
    );
    expect(error).toMatchObject({ code: 'internal_error', status });
    expect(error.message).not.toBe('');
    expect(error.next).not.toContain('{');
  });

  it('refuses an answer that is not of the contract, and says where', async () => {
    const error = await failure(
      transport(answering(200, { id: 5 })).request('/op', { contract: operationSchema }),
    );
    expect(error.message).toContain('GET /op');
    expect(error.next).toContain('different versions');
  });

  it('says where no server answers', async () => {
    const fetch = async () => {
      throw new TypeError('fetch failed');
    };
    const error = await failure(transport(fetch).request('/a', { contract: anything }));
    expect(error).toMatchObject({ code: 'server_unreachable' });
    expect(error.message).toContain('http://server');
  });

  it('is cancelled by the client’s signal and by its own', async () => {
    const fetch: typeof globalThis.fetch = async (_, init) => {
      init?.signal?.throwIfAborted();
      return new Response('{}');
    };
    const aborted = AbortSignal.abort();
    const byClient = transport(fetch, aborted).request('/a', { contract: anything });
    expect((await failure(byClient)).code).toBe('cancelled');
    const own = transport(fetch).request('/a', { contract: anything, signal: aborted });
    expect((await failure(own)).code).toBe('cancelled');
  });
});

describe('readErrorBody', () => {
  it('takes the table’s next step when the body has none', () => {
    const error = readErrorBody(404, { error: { code: 'not_found', message: 'm' } });
    expect(error.next).toBe('List what exists, and check the spelling of the id.');
  });
});
