import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestApp, type TestApp } from '../../testing/create-test-app.fake.ts';

let server: TestApp;
beforeAll(async () => {
  server = await createTestApp();
});
afterAll(() => server.close());

const newKey = async (body: object) =>
  (await server.call('POST', '/api/v1/keys', { body: { name: 'k', ...body } })).json;
const statusOf = async (url: string, key: string | null, method: 'GET' | 'POST' = 'GET') => {
  const { status, json } = await server.call(method, url, { key });
  return [status, json?.error?.code ?? null];
};

describe('API keys', () => {
  it('are needed everywhere but where a route says otherwise', async () => {
    const routes = server.app.printRoutes({ commonPrefix: false, includeHooks: false });
    expect(routes).toContain('/api/v1/keys');
    const open: string[] = [];
    const { json } = await server.call('GET', '/openapi.json', { key: null });
    for (const [path, methods] of Object.entries(json.paths as Record<string, object>))
      for (const method of Object.keys(methods)) {
        const answer = await server.call(
          method.toUpperCase() as 'GET',
          path.replaceAll(/\{[^}]+\}/g, 'x'),
          { key: null },
        );
        const refused = answer.json?.error?.type === 'authentication_error';
        if (answer.status !== 401 || !refused) open.push(`${method} ${path}`);
      }
    expect(open.toSorted((a, b) => a.localeCompare(b))).toEqual([
      'get /healthz',
      'get /readyz',
      // Whoever is ruled by a policy may read it.
      'get /v1/policy',
    ]);
  });

  it('are refused when unknown, malformed, expired or revoked, without telling which', async () => {
    const expired = await newKey({ expires_in_seconds: 1 });
    await server.parts.platform.db
      .updateTable('api_keys')
      .set({ expires_at: new Date(0) })
      .where('id', '=', expired.id)
      .execute();
    const revoked = await newKey({});
    expect(await statusOf('/v1/files', revoked.key)).toEqual([200, null]);
    const answer = await server.call('DELETE', `/api/v1/keys/${revoked.id}`);
    expect(answer.json.revoked_at).not.toBeNull();
    for (const key of [expired.key, revoked.key, `sk-corral-${'A'.repeat(43)}`, 'sk-other', 'x'])
      expect(await statusOf('/v1/files', key)).toEqual([401, 'invalid_api_key']);
    const basic = await server.call('GET', '/v1/files', {
      key: null,
      headers: { authorization: 'Basic eDp5' },
    });
    expect(basic.json.error.code).toBe('invalid_api_key');
    expect(JSON.stringify(basic.json)).not.toContain('eDp5');
  });

  it('open what their scopes say and nothing else', async () => {
    const reader = await newKey({ scopes: ['read'] });
    expect(reader.key).toMatch(/^sk-corral-[\w-]{43}$/);
    expect(await statusOf('/v1/files', reader.key)).toEqual([200, null]);
    expect(await statusOf('/api/v1/keys', reader.key)).toEqual([403, 'permission_denied']);
    expect(await statusOf('/v1/fine_tuning/jobs', reader.key, 'POST')).toEqual([
      403,
      'permission_denied',
    ]);
    const admin = await newKey({ scopes: ['admin'] });
    expect(await statusOf('/v1/files', admin.key)).toEqual([200, null]);
  });

  it('are kept only as a hash, listed with a hint, and show when they were used', async () => {
    const made = await newKey({ name: 'shown once' });
    await server.call('GET', '/v1/files', { key: made.key });
    await server.parts.access.flush();
    const { json, text } = await server.call('GET', '/api/v1/keys');
    const listed = json.data.find((key: { id: string }) => key.id === made.id);
    expect(listed).toMatchObject({ name: 'shown once', last_used_at: expect.any(Number) });
    expect(listed.hint).toBe(`sk-corral-…${made.key.slice(-4)}`);
    expect(text).not.toContain(made.key);
    const { rows } = await server.parts.platform.database.sql.executeSql(
      'select api_keys::text as row from api_keys where id = $1',
      [made.id],
    );
    expect(JSON.stringify(rows)).not.toContain(made.key.slice(10));
  });

  it('of one project do not reach the keys of another', async () => {
    const mine = await newKey({});
    const stranger = await server.otherProject('elsewhere', ['admin']);
    const listed = await server.call('GET', '/api/v1/keys', { key: stranger });
    expect(listed.json.data).toHaveLength(1);
    const gone = await server.call('DELETE', `/api/v1/keys/${mine.id}`, { key: stranger });
    expect([gone.status, gone.json.error.code]).toEqual([404, 'not_found']);
    for (const project of ['default', 'no-such-project']) {
      const made = await server.call('POST', '/api/v1/keys', {
        key: stranger,
        body: { name: 'x', project },
      });
      expect([made.status, made.json.error.code]).toEqual([404, 'not_found']);
    }
    const project = await server.call('POST', '/api/v1/projects', {
      key: stranger,
      body: { name: 'mine' },
    });
    expect(project.status).toBe(403);
  });

  it('and projects are named once, and well', async () => {
    expect(
      (await server.call('POST', '/api/v1/projects', { body: { name: 'twice' } })).status,
    ).toBe(201);
    const again = await server.call('POST', '/api/v1/projects', { body: { name: 'twice' } });
    expect([again.status, again.json.error.param]).toEqual([409, 'name']);
    const bad = await server.call('POST', '/api/v1/projects', { body: { name: 'Not:good' } });
    expect([bad.status, bad.json.error.param]).toEqual([400, 'name']);
  });
});
