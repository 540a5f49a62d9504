// How many data checks run at once: each is a process, and a loop of requests must not be a fork bomb.
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { createTestApp, type TestApp } from '../../testing/create-test-app.fake.ts';
import { fakeModels } from '../../testing/models-port.fake.ts';

const entry = new URL('../../testing/trainer-worker.fake.ts', import.meta.url);
let server: TestApp;
afterEach(() => server.close());

test('beyond two at once they are told when to come again', async () => {
  server = await createTestApp({
    substitutes: { ...fakeModels(), trainerEntry: fileURLToPath(entry) },
  });
  const { json: file } = await server.upload('{"script": {}}\n');
  const check = () =>
    server.call('POST', '/api/v1/data/check', { body: { model: 'tiny', file_id: file.id } });
  const answers = await Promise.all([check(), check(), check(), check(), check()]);
  const refused = answers.filter(({ status }) => status !== 200);
  expect(refused.map(({ status }) => status)).toEqual([429, 429, 429]);
  expect(refused[0]?.json.error.code).toBe('rate_limit_exceeded');
  expect(Number(refused[0]?.headers['retry-after'])).toBeGreaterThan(1);
  expect((await check()).status).toBe(200);
});
