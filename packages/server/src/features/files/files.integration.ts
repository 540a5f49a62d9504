import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestApp, type TestApp } from '../../testing/create-test-app.fake.ts';

let server: TestApp;
beforeAll(async () => {
  server = await createTestApp({ config: { limits: { file_bytes: 1000 } } });
});
afterAll(() => server.close());

const storedFiles = async (): Promise<string[]> => {
  const entries = await readdir(join(server.home, 'artifacts', 'files'), {
    recursive: true,
    withFileTypes: true,
  });
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
};

describe('/v1/files', () => {
  it('keeps an upload and gives it back byte for byte', async () => {
    const content = '{"a":"ü"}\n{"b":2}\n';
    const made = await server.upload(content, {
      fields: { file: '../../etc/pass"wd', purpose: 'fine-tune' },
    });
    expect(made.status).toBe(200);
    expect(made.json).toMatchObject({
      object: 'file',
      purpose: 'fine-tune',
      status: 'processed',
      bytes: Buffer.byteLength(content),
    });
    expect(made.json.id).toMatch(/^file-/);
    expect(made.json.filename).not.toMatch(/[/"]/);
    expect((await server.call('GET', `/v1/files/${made.json.id}`)).json).toEqual(made.json);
    const back = await server.call('GET', `/v1/files/${made.json.id}/content`);
    expect(back.text).toBe(content);
  });

  it('stores equal contents once and deletes them with their last file', async () => {
    const first = await server.upload('the same content');
    const second = await server.upload('the same content');
    const before = await storedFiles();
    await server.call('DELETE', `/v1/files/${first.json.id}`);
    expect(await storedFiles()).toEqual(before);
    expect((await server.call('GET', `/v1/files/${second.json.id}/content`)).text).toBe(
      'the same content',
    );
    const gone = await server.call('DELETE', `/v1/files/${second.json.id}`);
    expect(gone.json).toEqual({ id: second.json.id, object: 'file', deleted: true });
    expect(await storedFiles()).toHaveLength(before.length - 1);
    expect((await server.call('GET', `/v1/files/${second.json.id}`)).status).toBe(404);
  });

  it('pages by cursor in both orders', async () => {
    const key = await server.otherProject('pages');
    const ids: string[] = [];
    for (const text of ['1', '2', '3']) ids.push((await server.upload(text, { key })).json.id);
    const newest = await server.call('GET', '/v1/files?limit=2', { key });
    expect(newest.json).toMatchObject({ object: 'list', has_more: true, last_id: ids[1] });
    const rest = await server.call('GET', `/v1/files?limit=2&after=${ids[1]}`, { key });
    expect(rest.json.data.map((file: { id: string }) => file.id)).toEqual([ids[0]]);
    expect(rest.json.has_more).toBe(false);
    const oldest = await server.call('GET', '/v1/files?order=asc&purpose=fine-tune', { key });
    expect(oldest.json.data.map((file: { id: string }) => file.id)).toEqual(ids);
    const none = await server.call('GET', '/v1/files?purpose=batch', { key });
    expect(none.json.data).toEqual([]);
  });

  it('does not show one project the files of another', async () => {
    const mine = await server.upload('private');
    const key = await server.otherProject('stranger');
    for (const [method, url] of [
      ['GET', `/v1/files/${mine.json.id}`],
      ['GET', `/v1/files/${mine.json.id}/content`],
      ['DELETE', `/v1/files/${mine.json.id}`],
      ['GET', `/v1/files?after=${mine.json.id}`],
    ] as const) {
      const answer = await server.call(method, url, { key });
      expect([answer.status, answer.json.error.code]).toEqual([404, 'not_found']);
    }
    expect((await server.call('GET', '/v1/files', { key })).json.data).toEqual([]);
  });

  it('makes nothing twice for one idempotency key', async () => {
    const headers = { 'idempotency-key': 'upload-1' };
    const first = await server.upload('once', { headers });
    const again = await server.upload('once', { headers });
    expect(again.json).toEqual(first.json);
    const other = await server.upload('something else', { headers });
    expect([other.status, other.json.error.code]).toEqual([409, 'conflict']);
    const [a, b] = await Promise.all([
      server.upload('together', { headers: { 'idempotency-key': 'upload-2' } }),
      server.upload('together', { headers: { 'idempotency-key': 'upload-2' } }),
    ]);
    expect(a.json.id).toBe(b.json.id);
  });

  it.each([
    ['no purpose', {}, 'purpose'],
    ['an unknown purpose', { purpose: 'fun' }, 'purpose'],
    [
      'an expiry that would be ignored',
      { purpose: 'batch', 'expires_after[seconds]': '1' },
      'expires_after',
    ],
  ])('refuses %s by name and keeps nothing', async (_what, fields, param) => {
    const before = await storedFiles();
    const answer = await server.upload('x', { fields });
    expect([answer.status, answer.json.error.param]).toEqual([400, param]);
    expect(answer.json.error.type).toBe('invalid_request_error');
    expect(await storedFiles()).toEqual(before);
  });

  it('refuses what is too large, empty, cut off or not multipart', async () => {
    const before = await storedFiles();
    const large = await server.upload('x'.repeat(1001));
    expect([large.status, large.json.error.code]).toEqual([413, 'payload_too_large']);
    expect((await server.upload('')).status).toBe(400);
    const cut = await server.call('POST', '/v1/files', {
      body: '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhalf',
      headers: { 'content-type': 'multipart/form-data; boundary=b' },
    });
    expect([cut.status, cut.json.error.type]).toEqual([400, 'invalid_request_error']);
    const json = await server.call('POST', '/v1/files', { body: { purpose: 'fine-tune' } });
    expect([json.status, json.json.error.param]).toEqual([400, 'file']);
    expect(await storedFiles()).toEqual(before);
  });
});
