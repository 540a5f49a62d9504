// When a base model may go, and that it goes once. Which files go with it is in models.integration.ts.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createServingApp } from '../../testing/create-serving-app.fake.ts';
import type { ServingApp } from '../../testing/create-serving-app.fake.ts';

let server: ServingApp;
beforeEach(async () => {
  server = await createServingApp();
});
afterEach(() => server.close());

/** No runner touches a paused job. */
const pausedJob = {
  base_sha256: 'a'.repeat(64),
  training_file: 'file-any',
  validation_file: null,
  suffix: null,
  seed: 1,
  metadata: null,
  hyperparameters: '{}',
  config: '{}',
  status: 'paused' as const,
  error: null,
  adapter_id: 'ft:any',
  result_files: '[]',
  trained_tokens: null,
  figures: null,
  parity: null,
  created_at: new Date(),
  finished_at: null,
  estimated_finish: null,
  trained_at: null,
  attempts: 0,
  lease_owner: null,
  lease_token: 0,
  lease_expires_at: null,
};

test('waits for the jobs that train on the model', async () => {
  await server.addBase('tiny');
  const { db } = server.parts.platform;
  const { id: project_id } = await db.selectFrom('projects').select('id').executeTakeFirstOrThrow();
  await db
    .insertInto('fine_tuning_jobs')
    .values({ ...pausedJob, project_id, id: `ftjob-tiny`, model: 'tiny' })
    .execute();
  const refused = await server.call('DELETE', `/v1/models/tiny`);
  expect([refused.status, refused.json.error.code]).toEqual([409, 'conflict']);
  expect(refused.json.error.message).toContain(`ftjob-tiny`);
  await db.updateTable('fine_tuning_jobs').set({ status: 'cancelled' }).execute();
  expect((await server.call('DELETE', `/v1/models/tiny`)).status).toBe(200);
});

test('asked for twice at once happens once', async () => {
  await server.addBase('tiny');
  const remove = () => server.call('DELETE', `/v1/models/tiny`);
  const answers = await Promise.all([remove(), remove()]);
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 404]));
});
