// Requests of the client where they are more than a path, and what it makes of answers.
import { expect, it } from 'vitest';
import { createCorralClient } from './corral-client.ts';

function clientAnswering(answer: unknown) {
  const seen: { url: string; body: unknown }[] = [];
  const fetch: typeof globalThis.fetch = async (url, { body } = {}) => {
    const sent = typeof body === 'string' ? JSON.parse(body) : null;
    seen.push({ url: url instanceof Request ? url.url : url.toString(), body: sent });
    return new Response(JSON.stringify(answer));
  };
  return { seen, client: createCorralClient({ baseUrl: 'http://server', apiKey: 'k', fetch }) };
}

it('asks for a prompt as for a completion', async () => {
  const rendered = { text: '<user>hi', tokens: [1, 2], pieces: ['<user>', 'hi'] };
  const { client, seen } = clientAnswering(rendered);
  const request = {
    model: 'm',
    messages: [{ role: 'user' as const, content: 'hi' }],
    tools: [{ type: 'function', function: { name: 'f' } }],
  };
  expect(await client.render(request)).toEqual(rendered);
  expect(seen).toEqual([{ url: 'http://server/api/v1/render', body: request }]);
});

it('refuses a prompt that is none', async () => {
  const { client } = clientAnswering({ text: 1 });
  const messages = [{ role: 'user' as const, content: 'hi' }];
  await expect(client.render({ model: 'm', messages })).rejects.toMatchObject({
    code: 'internal_error',
  });
});

it('looks a fingerprint up', async () => {
  const { client, seen } = clientAnswering({ fingerprint: 'fp_1', model: 'm' });
  expect(await client.fingerprint('fp_1')).toMatchObject({ model: 'm' });
  expect(seen[0]?.url).toBe('http://server/api/v1/fingerprints/fp_1');
});
