import { connect, type AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestApp, type TestApp } from './testing/create-test-app.fake.ts';

let server: TestApp;
beforeAll(async () => {
  server = await createTestApp({ config: { limits: { body_bytes: 2048 } } });
});
afterAll(() => server.close());

const post = (body: unknown, headers: Record<string, string> = {}) =>
  server.call('POST', '/api/v1/keys', { body, headers });
const json = { 'content-type': 'application/json' };

describe('every answer', () => {
  it.each([
    ['no HTTP at all', 'nonsense\r\n\r\n', 400],
    ['too many headers', `GET /healthz HTTP/1.1\r\nx: ${'y'.repeat(40_000)}\r\n\r\n`, 431],
  ])('to %s is an error of the same shape', async (_what, bytes, status) => {
    if (!server.app.server.listening) await server.app.listen({ port: 0 });
    const socket = connect((server.app.server.address() as AddressInfo).port, '127.0.0.1');
    socket.write(bytes);
    let answer = '';
    for await (const chunk of socket) answer += String(chunk);
    const [head = '', body = ''] = answer.split('\r\n\r\n');
    expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    const id = /x-request-id: (\S+)/.exec(head)?.[1];
    expect(JSON.parse(body)).toMatchObject({
      error: { code: 'invalid_request', message: expect.any(String) },
      corral: { request_id: id },
    });
  });

  it('carries a request id: the given one when it is sane, else a new one', async () => {
    const given = await server.call('GET', '/healthz', { headers: { 'x-request-id': 'abc-1' } });
    expect(given.headers['x-request-id']).toBe('abc-1');
    expect(given.headers['openai-processing-ms']).toMatch(/^\d+$/);
    for (const bad of ['a b', 'x'.repeat(200), '<script>']) {
      const answer = await server.call('GET', '/healthz', { headers: { 'x-request-id': bad } });
      expect(answer.headers['x-request-id']).toMatch(/^req_/);
    }
  });

  it.each([
    ['a body that is not JSON', () => post('{"name":', json), 400, 'invalid_request', null],
    ['an empty body', () => post('', json), 400, 'invalid_request', null],
    [
      'a body of another kind',
      () => post('a=b', { 'content-type': 'text/x' }),
      400,
      'invalid_request',
      null,
    ],
    ['a field of the wrong kind', () => post({ name: 5 }), 400, 'invalid_request', 'name'],
    [
      'a nested field',
      () => post({ name: 'a', scopes: ['read', 'all'] }),
      400,
      'invalid_request',
      'scopes[1]',
    ],
    [
      'a body beyond the limit',
      () => post({ name: 'x'.repeat(3000) }),
      413,
      'payload_too_large',
      null,
    ],
    [
      'an unknown route',
      () => server.call('GET', '/v1/nothing', { key: null }),
      404,
      'route_not_found',
      null,
    ],
    ['an unknown id', () => server.call('GET', '/v1/fine_tuning/jobs/x'), 404, 'not_found', null],
    ['a NUL in a path', () => server.call('GET', '/v1/files/a%00b'), 400, 'invalid_request', null],
    ['a NUL in a body', () => post({ name: 'a\u0000b' }), 400, 'invalid_request', null],
    [
      'a NUL in a filter',
      () => server.call('GET', '/v1/fine_tuning/jobs?metadata%5Ba%5D=%00'),
      400,
      'invalid_request',
      null,
    ],
    ['a broken URL', () => server.call('GET', '/v1/files/%ff'), 400, 'invalid_request', null],
    [
      'an endless id',
      () => server.call('GET', `/v1/files/${'x'.repeat(600)}`),
      400,
      'invalid_request',
      null,
    ],
    [
      'a key for longer than dates last',
      () => post({ name: 'a', scopes: ['read'], expires_in_seconds: 9e15 }),
      400,
      'invalid_request',
      'expires_in_seconds',
    ],
    [
      'a character that cannot be stored',
      () => post({ name: 'a\u0000b' }),
      400,
      'invalid_request',
      null,
    ],
    [
      'prototype pollution',
      () => post('{"name":"a","__proto__":{"x":1}}', json),
      400,
      'invalid_request',
      null,
    ],
  ])('to %s is an error as OpenAI shapes it', async (_what, send, status, code, param) => {
    const answer = await send();
    expect(answer.status).toBe(status);
    expect(answer.json).toEqual({
      error: { message: expect.any(String), type: expect.any(String), param, code },
      corral: expect.objectContaining({
        next: expect.any(String),
        request_id: answer.headers['x-request-id'],
      }),
    });
  });

  it('says of a forbidden name that it is the name', async () => {
    const schema = (name: string): string => `{"properties":{"${name}":{"type":"string"}}}`;
    const send = (name: string) => post(`{"name":"a","metadata":${schema(name)}}`, json);
    for (const name of ['__proto__', '__pr\\u006fto__']) {
      const { status, json: body } = await send(name);
      expect([status, body.error.code]).toEqual([400, 'invalid_request']);
      expect(body.error.message).toContain('"__proto__"');
      expect(body.error.message).not.toContain('not valid JSON');
    }
    for (const name of ['constructor', 'toString', 'prototype'])
      expect((await send(name)).text).not.toContain('__proto__');
    expect((await post('{"name":', json)).json.error.message).toMatch(
      /not valid JSON: Unexpected end/,
    );
  });

  it('hides what a defect says, and gives the request id to find it by', async () => {
    const { db } = server.parts.platform;
    await db.schema.alterTable('files').renameTo('files_away').execute();
    const answer = await server.call('GET', '/v1/files');
    await db.schema.alterTable('files_away').renameTo('files').execute();
    expect([answer.status, answer.json.error.code]).toEqual([500, 'internal_error']);
    expect(answer.text).not.toContain('files_away');
    expect(answer.json.corral.next).toContain(answer.headers['x-request-id']);
  });
});

describe('the shell', () => {
  it('is alive always and ready when it says so', async () => {
    expect((await server.call('GET', '/readyz', { key: null })).json).toEqual({ status: 'ok' });
    server.parts.setReady(false);
    const answer = await server.call('GET', '/readyz', { key: null });
    expect([answer.status, answer.headers['retry-after']]).toEqual([503, '1']);
    expect((await server.call('GET', '/healthz', { key: null })).status).toBe(200);
    server.parts.setReady(true);
  });

  it('describes its routes, counts its requests, tells its state', async () => {
    const { json: document } = await server.call('GET', '/openapi.json', { key: null });
    expect(document.openapi).toBe('3.1.0');
    expect(Object.keys(document.paths)).toEqual(
      expect.arrayContaining(['/v1/files', '/v1/fine_tuning/jobs/{id}/events', '/api/v1/status']),
    );
    const metrics = await server.call('GET', '/metrics');
    expect(metrics.text).toMatch(/corral_http_requests_total\{method="GET",route="\/healthz"/);
    const stranger = await server.otherProject('curious');
    expect((await server.call('GET', '/metrics', { key: stranger })).status).toBe(403);
    expect((await server.call('GET', '/api/v1/status')).json).toMatchObject({
      ready: true,
      database: { kind: 'pglite' },
      jobs: { queued: 0, running: 0 },
    });
    expect((await server.call('GET', '/api/v1/status', { key: stranger })).json).toEqual({
      version: expect.stringMatching(/\d/),
      ready: true,
      uptime_seconds: expect.any(Number),
      pid: 0,
      home: '',
      database: { kind: 'pglite', version: '' },
      engines: [],
      jobs: { queued: 0, running: 0 },
      evidence: { size: 0 },
    });
  });
});
