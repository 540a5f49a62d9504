import { verifyBundle, verifyProof } from '@corral/evidence';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTestApp, type TestApp } from '../../testing/create-test-app.fake.ts';

let server: TestApp;
beforeEach(async () => {
  server = await createTestApp();
});
afterEach(() => server.close());

const get = async (path: string, key?: string) =>
  server.call('GET', `/api/v1/evidence${path}`, key === undefined ? {} : { key });
const event = (id: string) => ({
  action: 'test.happened',
  actor: { kind: 'system' as const, id: 'test' },
  project: null,
  resource: { kind: 'test', id },
  outcome: 'ok' as const,
  request_id: null,
  before: null,
  after: { text: 'ü', number: 1.5 },
});
const append = async (count: number) => {
  const { db, audit } = server.parts.platform;
  for (let index = 0; index < count; index += 1)
    await db.transaction().execute((tx) => audit.append(tx, event(String(index))));
};

describe('evidence log', () => {
  it('gives a whole log and proofs that verify offline at every size', async () => {
    for (let round = 0; round < 9; round += 1) {
      await append(1);
      const { json: head } = await get('/head');
      const { json: bundle } = await get('/export');
      expect(bundle.leaves).toHaveLength(head.size);
      expect(verifyBundle(bundle, { verifierKey: head.verifier_key })).toMatchObject({ ok: true });
      for (let index = 0; index < head.size; index += 1) {
        const { json: proof } = await get(`/entries/${index}/proof`);
        expect(proof.leaf).toBe(bundle.leaves[index]);
        expect(verifyProof(proof, { verifierKey: head.verifier_key })).toMatchObject({ ok: true });
      }
    }
  });

  it('gives a log of several pages whole', async () => {
    await append(1100);
    const { json: bundle } = await get('/export');
    const { json: head } = await get('/head');
    expect(bundle.leaves).toHaveLength(head.size);
    expect(verifyBundle(bundle, { verifierKey: head.verifier_key })).toMatchObject({ ok: true });
  });

  it('holds an event if and only if its change was committed, in order, without gaps', async () => {
    const { db, audit } = server.parts.platform;
    const { json: before } = await get('/head');
    const writes = Array.from({ length: 20 }, (_, index) =>
      db
        .transaction()
        .execute(async (tx) => {
          await audit.append(tx, event(String(index)));
          if (index % 3 === 0) throw new Error('undone');
        })
        .catch(() => null),
    );
    await Promise.all(writes);
    const { json: after } = await get('/head');
    expect(after.size - before.size).toBe(13);
    const { json: list } = await get('/entries?limit=1000');
    expect(list.data.map((entry: { index: number }) => entry.index)).toEqual(
      Array.from({ length: after.size }, (_, index) => index),
    );
    const { json: page } = await get('/entries?limit=2&after=3');
    expect(page).toMatchObject({ has_more: true, data: [{ index: 4 }, { index: 5 }] });
  });

  it('signs one head a size, and never one that rewrites the log', async () => {
    await append(3);
    const { json: first } = await get('/head');
    expect((await get('/head')).json).toEqual(first);
    const { db } = server.parts.platform;
    // Somebody with access to the database rewrites the first entry and the tree above it.
    const { hashes } = await db
      .selectFrom('evidence_state')
      .select('hashes')
      .executeTakeFirstOrThrow();
    const other = Buffer.alloc(32).toString('base64');
    await db
      .updateTable('evidence_state')
      .set({ hashes: JSON.stringify([other, ...hashes.slice(1)]) })
      .execute();
    await append(1);
    const refused = await get('/head');
    expect([refused.status, refused.json.error.code]).toEqual([400, 'evidence_invalid']);
    await db.updateTable('evidence_state').set({ size: 0, hashes: '[]' }).execute();
    expect((await get('/head')).json.error).toMatchObject({
      code: 'evidence_invalid',
      message: expect.stringContaining('the log has 0'),
    });
  });

  it('shows a project its own entries, and the whole log to the operator alone', async () => {
    const key = await server.otherProject('tenant', ['admin', 'training', 'read']);
    await server.upload('secret of the tenant', { key });
    const mine = await get('/entries?limit=1000', key);
    const all = await get('/entries?limit=1000');
    expect(mine.json.data.length).toBeLessThan(all.json.data.length);
    const projects = mine.json.data.map(
      (entry: { event: { project: string } }) => entry.event.project,
    );
    expect(new Set(projects).size).toBe(1);
    expect((await get('/entries/0/proof', key)).json.error.code).toBe('not_found');
    const own = await get(`/entries/${mine.json.data[0].index}/proof`, key);
    expect(own.status).toBe(200);
    expect((await get('/export', key)).status).toBe(403);
    expect(all.text).not.toContain('secret of the tenant');
  });

  it('refuses what is no index', async () => {
    expect((await get('/entries/99999/proof')).json.error.code).toBe('not_found');
    for (const path of ['/entries/-1/proof', '/entries/x/proof', '/entries?limit=0']) {
      const { status, json } = await get(path);
      expect([status, json.error.code]).toEqual([400, 'invalid_request']);
    }
  });
});
