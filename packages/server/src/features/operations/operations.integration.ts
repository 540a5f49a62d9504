// Operations over real rows: joined while they run, remembered when they ended, failed when their process
// went away, shown to their own project only.
import { CorralError } from '@corral/contracts';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createTestDb } from '../../db/create-test-db.fake.ts';
import type { Database } from '../../db/database.ts';
import type { RequestContext } from '../../http/request-context.ts';
import { createOperationService } from './operation-service.ts';
import type { OperationService } from './operation-service.ts';

const contextFor = (projectId: string): RequestContext => ({
  requestId: 'req_1',
  actor: { kind: 'key', id: 'key_1' },
  projectId,
  operator: true,
  scopes: new Set(),
});
const context = contextFor('p1');

let database: Database;
let defects: unknown[];
let services: OperationService[];
const start = (server = 'host:/home:'): OperationService => {
  const onDefect = (error: unknown) => defects.push(error);
  const service = createOperationService({ db: database.db, server, leaseSeconds: 3, onDefect });
  services.push(service);
  return service;
};
const ended = async (service: OperationService, id: string) => {
  await expect.poll(async () => (await service.get(context, id)).status).not.toBe('running');
  return service.get(context, id);
};
beforeEach(async () => {
  defects = [];
  services = [];
  database = await createTestDb();
});
afterEach(async () => {
  await Promise.all(services.map((service) => service.close()));
  await database.close();
});

test('progress is seen while it runs, the result afterwards, also by a later process', async () => {
  const service = start();
  const gate = Promise.withResolvers<void>();
  const { id } = await service.begin(context, {
    kind: 'model_pull',
    key: 'k',
    run: async (report) => {
      report('Half way.', { done: 1, total: 2, rate: 3 });
      await gate.promise;
      return { model: 'm' };
    },
  });
  expect((await service.get(context, id)).progress).toEqual({
    message: 'Half way.',
    done_bytes: 1,
    total_bytes: 2,
    bytes_per_second: 3,
  });
  gate.resolve();
  expect(await ended(service, id)).toMatchObject({ status: 'succeeded', result: { model: 'm' } });
  expect(await start().get(context, id)).toMatchObject({ result: { model: 'm' } });
  await expect(service.get(contextFor('p2'), id)).rejects.toMatchObject({ code: 'not_found' });
});

test('the same work is joined while it runs and started again afterwards', async () => {
  const service = start();
  let runs = 0;
  const work = {
    kind: 'model_import',
    key: 'same',
    run: () => Promise.resolve({ run: ++runs }),
  } as const;
  const [a, b] = await Promise.all([service.begin(context, work), service.begin(context, work)]);
  expect(a.id).toBe(b.id);
  await ended(service, a.id);
  await expect.poll(async () => (await service.begin(context, work)).id).not.toBe(a.id);
});

test('foreseen errors keep their code, defects are logged and hidden', async () => {
  const service = start();
  const failing = async (error: Error) => {
    const run = () => Promise.reject(error);
    const { id } = await service.begin(context, { kind: 'parity', key: error.message, run });
    return (await ended(service, id)).error;
  };
  const foreseen = new CorralError('model_not_found', { params: { model: 'x' } });
  expect(await failing(foreseen)).toMatchObject({ code: 'model_not_found', next: foreseen.next });
  expect(defects).toEqual([]);
  const defect = new Error('secret detail');
  expect(await failing(defect)).toMatchObject({ code: 'internal_error' });
  expect(defects).toEqual([defect]);
});

test('closing cancels what runs; what a dead process left running is failed at the next start', async () => {
  const service = start();
  const { id } = await service.begin(context, {
    kind: 'model_pull',
    key: 'k',
    run: (_, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(new CorralError('cancelled')));
      }),
  });
  await service.close();
  expect((await start().get(context, id)).error?.code).toBe('cancelled');

  await database.db
    .updateTable('operations')
    .set({ status: 'running', error: null })
    .where('id', '=', id)
    .execute();
  const next = start();
  await next.recover();
  expect(await next.get(context, id)).toMatchObject({
    status: 'failed',
    error: { code: 'cancelled', next: expect.stringContaining('again') },
  });
});

test('what another server does is left to it while it lives, and failed when it is silent', async () => {
  const [first, second] = [start('host:/one:'), start('host:/two:')];
  const { id } = await first.begin(context, {
    kind: 'model_pull',
    key: 'k',
    run: (_, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(new CorralError('cancelled')));
      }),
  });
  await second.recover();
  expect((await second.get(context, id)).status).toBe('running');
  const lease = async () => {
    const row = await database.db.selectFrom('operations').selectAll().executeTakeFirstOrThrow();
    return row.lease_expires_at?.getTime() ?? 0;
  };
  const before = await lease();
  await expect.poll(lease, { timeout: 20_000 }).toBeGreaterThan(before);
  expect((await second.get(context, id)).status).toBe('running');
  const gone = { owner: 'host:/gone:1:x', lease_expires_at: new Date(0) };
  await database.db.updateTable('operations').set(gone).execute();
  expect(await second.get(context, id)).toMatchObject({
    status: 'failed',
    error: { code: 'cancelled' },
  });
});
