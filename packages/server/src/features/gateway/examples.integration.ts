// The examples for OpenAI's Node client, run as their reader runs them.
import { execFile } from 'node:child_process';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createServingApp } from '../../testing/create-serving-app.fake.ts';
import type { ServingApp } from '../../testing/create-serving-app.fake.ts';

let server: ServingApp;
beforeAll(async () => {
  server = await createServingApp();
  await server.addBase('tiny');
  await server.app.listen({ port: 0, host: '127.0.0.1' });
});
afterAll(() => server.close());

async function run(example: string, ...args: string[]): Promise<string> {
  const folder = new URL('../../../../../examples/openai-node/', import.meta.url);
  const { port } = server.app.server.address() as AddressInfo;
  const env = {
    PATH: process.env['PATH'],
    OPENAI_BASE_URL: `http://127.0.0.1:${port}/v1`,
    OPENAI_API_KEY: server.adminKey,
  };
  const path = fileURLToPath(new URL(example, folder));
  const { stdout } = await promisify(execFile)(process.execPath, [path, 'tiny', ...args], { env });
  return stdout;
}

const booking = '{"passengers":2,"vehicle":"car","departure":"09:00"}';
const call = [{ name: 'free_places', arguments: '{"time": "10:30"}' }];
test.each([
  ['ask.ts', ['say nine'], 'nine\n'],
  [
    'tools.ts',
    [`call ${JSON.stringify(call)}`],
    'free_places({"time": "10:30"})\nfree_places says {"time":"10:30","cars":3,"passengers":41}\n',
  ],
  ['structured-output.ts', [`say ${booking}`], '2 passengers, car, at 09:00\n'],
])('%s', async (example, args, printed) => {
  expect(await run(example, ...args)).toBe(printed);
});

test('embeddings.ts', async () => {
  const lines = (await run('embeddings.ts')).trimEnd().split('\n');
  const scores = lines.slice(0, 3).map((line) => Number(line.split('  ')[0]));
  expect(scores).toEqual(scores.toSorted((a, b) => b - a));
  expect(scores.every((score) => score > 0 && score <= 1)).toBe(true);
  expect(lines[3]).toMatch(/^\d+ tokens$/);
});
