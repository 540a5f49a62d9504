// OpenAI's own Node client against scripted engine children: answers, streams, errors, models.
import type { AddressInfo } from 'node:net';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createServingApp } from '../../testing/create-serving-app.fake.ts';
import type { ServingApp } from '../../testing/create-serving-app.fake.ts';

let server: ServingApp;
beforeAll(async () => {
  server = await createServingApp();
  await server.addBase('tiny');
});
afterAll(() => server.close());

describe("OpenAI's own client", () => {
  const client = async () => {
    if (!server.app.server.listening) await server.app.listen({ port: 0, host: '127.0.0.1' });
    const { port } = server.app.server.address() as AddressInfo;
    const baseURL = `http://127.0.0.1:${port}/v1`;
    return new OpenAI({ baseURL, apiKey: server.adminKey, maxRetries: 0 });
  };

  test('reads whole answers, streams and their usage', async () => {
    const openai = await client();
    const messages = [{ role: 'user', content: 'say hello you' } as const];
    const whole = await openai.chat.completions.create({ model: 'tiny', messages });
    expect(whole.choices[0]?.message.content).toBe('hello you');
    const stream = openai.chat.completions.stream({
      model: 'tiny',
      messages,
      stream_options: { include_usage: true },
    });
    const final = await stream.finalChatCompletion();
    expect(final.choices[0]?.message.content).toBe('hello you');
    expect(await stream.totalUsage()).toMatchObject({ completion_tokens: 2 });
  });

  test('turns refusals and errors in mid-stream into its own errors', async () => {
    const openai = await client();
    const ask = (content: string) =>
      openai.chat.completions.create({
        model: 'tiny',
        messages: [{ role: 'user', content }],
        stream: true,
      });
    await expect(ask('say FORBIDDEN')).rejects.toMatchObject({
      status: 400,
      code: 'content_blocked',
      requestID: expect.any(String),
    });
    const stream = await ask('count 1000 5');
    const read = async () => {
      for await (const { choices } of stream) {
        if (!choices[0]?.delta.content) continue;
        const messages = [{ role: 'user', content: 'crash' }];
        void server.call('POST', '/v1/chat/completions', { body: { model: 'tiny', messages } });
      }
    };
    await expect(read()).rejects.toThrow(OpenAI.APIError);
  });

  test('lists models', async () => {
    const openai = await client();
    const models = await openai.models.list();
    expect(models.data).toMatchObject([{ id: 'tiny', object: 'model', owned_by: 'base' }]);
    await expect(openai.models.retrieve('nobody')).rejects.toMatchObject({ status: 404 });
  });
});
