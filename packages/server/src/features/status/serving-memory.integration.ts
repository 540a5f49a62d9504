// The budget of memory as clients meet it: models that take turns, a model that is too large, what the status
// says, and pins from the settings. Engines are scripted; each is taken for 128 MiB.
import { afterEach, expect, test } from 'vitest';
import { createServingApp } from '../../testing/create-serving-app.fake.ts';
import type { ServingApp } from '../../testing/create-serving-app.fake.ts';

let server: ServingApp;
afterEach(() => server.close());

const start = async (serving: object): Promise<void> => {
  server = await createServingApp({
    config: { serving },
    engine: { measure: () => Promise.resolve(null) },
  });
  await server.addBase('one');
  await server.addBase('two');
};
const ask = async (model: string, content = 'say hi') => {
  const body = { model, messages: [{ role: 'user', content }] };
  return server.call('POST', '/v1/chat/completions', { body });
};

test('two models share room for one, by turns', async () => {
  await start({ memory_limit: '130MiB' });
  const answers = await Promise.all([ask('one'), ask('two')]);
  expect(answers.map(({ json }) => json.choices[0].message.content)).toEqual(['hi', 'hi']);
  const { json } = await server.call('GET', '/api/v1/status');
  expect(json.serving).toEqual({
    limit_bytes: 130 * 2 ** 20,
    reserved_bytes: 128 * 2 ** 20,
    waiting: 0,
  });
  const states = json.engines.map(({ state }: { state: string }) => state);
  expect(states.toSorted()).toEqual(['ready', 'stopped']);
  const metrics = await server.call('GET', '/metrics');
  expect(metrics.text).toContain(`corral_serving_memory_limit_bytes ${130 * 2 ** 20}`);
});

test('no room in time is 503 with the time to come back; no room ever is 507', async () => {
  await start({ memory_limit: '130MiB', wait_seconds: 0.2 });
  const running = ask('one', 'count 300 10');
  await expect
    .poll(async () => (await server.engines()).map(({ active }) => active), { timeout: 20_000 })
    .toContain(1);
  const waited = await ask('two');
  expect([waited.status, waited.headers['retry-after']]).toEqual([503, '5']);
  expect(waited.json.error.message).toContain('"one" (1 running)');
  expect((await running).status).toBe(200);
  await server.close();
  await start({ memory_limit: '120MiB' });
  const never = await ask('one');
  expect([never.status, never.json.error.code]).toEqual([507, 'model_too_large']);
});
