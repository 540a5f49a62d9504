// Who may have a model written where. What is written is held to PEFT's numbers in the trainer and to the transcripts
// in tests/e2e/whole-model-job.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createServingApp } from '../../testing/create-serving-app.fake.ts';
import type { ServingApp } from '../../testing/create-serving-app.fake.ts';

let server: ServingApp;
beforeAll(async () => {
  server = await createServingApp();
  await server.addBase('tiny');
});
afterAll(() => server.close());

const request = (body: object, { id = 'tiny', key = server.adminKey } = {}) =>
  server.call('POST', `/api/v1/models/${id}/export`, { body, key });

test.each([
  ['a relative path', { format: 'merged', path: 'out' }, 'invalid_request'],
  ['a form of a folder', { format: 'merged', path: '/tmp/x', form: 'q8_0' }, 'invalid_request'],
  ['an unknown format', { format: 'pickle', path: '/tmp/x' }, 'invalid_request'],
])('%s is refused', async (_what, body, code) => {
  const { status, json } = await request(body);
  expect([status, json.error.code]).toEqual([400, code]);
});

test('only the operator has files written on the machine, of models that are there', async () => {
  const body = { format: 'merged', path: '/tmp/corral-nobody-writes-this' };
  const key = await server.otherProject('guest', ['admin']);
  expect((await request(body, { key })).json.error.code).toBe('permission_denied');
  expect((await request(body, { id: 'none' })).json.error.code).toBe('model_not_found');
});

test('what the trainer refuses is the end of the operation, by its code', async () => {
  const started = await request({ format: 'onnx', path: '/tmp/corral-nobody-writes-this' });
  expect(started.status).toBe(202);
  const ended = await server.operation(started);
  expect(ended).toMatchObject({
    kind: 'model_export',
    status: 'failed',
    error: { code: 'unsupported_parameter' },
  });
});
