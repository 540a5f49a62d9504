import { get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { CorralError } from '@corral/contracts';
import Fastify from 'fastify';
import { afterEach, describe, expect, it } from 'vitest';
import { SseStreams, type SseStream } from './sse.ts';

const closers: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

async function serve(
  handle: (stream: SseStream) => Promise<void>,
  options: ConstructorParameters<typeof SseStreams>[0] = {},
) {
  const streams = new SseStreams(options);
  const app = Fastify();
  app.get('/', (_request, reply) => {
    void reply.header('x-own', 'kept');
    void handle(streams.open(reply));
  });
  await app.listen({ port: 0 });
  closers.push(() => app.close());
  return { streams, port: (app.server.address() as AddressInfo).port };
}
const request = (port: number): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => get({ port }, resolve).once('error', reject));
async function textOf(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return text;
}

describe('server-sent events', () => {
  it('sends events in order, then [DONE]', async () => {
    const { port, streams } = await serve(async (stream) => {
      await stream.send({ a: 'line\nbreak' });
      await stream.send({ b: 2 });
      await stream.done();
      await stream.send({ late: true });
    });
    const response = await request(port);
    expect(response.headers).toMatchObject({
      'x-own': 'kept',
      'cache-control': expect.stringContaining('no-cache'),
    });
    expect(response.headers['content-type']).toContain('text/event-stream');
    expect(await textOf(response)).toBe(
      'data: {"a":"line\\nbreak"}\n\ndata: {"b":2}\n\ndata: [DONE]\n\n',
    );
    expect(streams.size).toBe(0);
  });

  it('ends a failure in mid-stream with an error event', async () => {
    const { port } = await serve(async (stream) => {
      await stream.send({ a: 1 });
      await stream.fail(new CorralError('engine_failed', { params: { reason: 'gone' } }));
    });
    const events = (await textOf(await request(port))).trim().split('\n\n');
    expect(JSON.parse(events[1]?.slice(6) ?? '')).toMatchObject({
      error: { code: 'engine_failed' },
    });
  });

  it('makes the sender wait for a slow reader, and lets it go when the reader leaves', async () => {
    let sent = 0;
    const finished = Promise.withResolvers<boolean>();
    const { port } = await serve(async (stream) => {
      while (!stream.closed) {
        await stream.send('x'.repeat(10_000));
        sent += 1;
      }
      finished.resolve(stream.signal.aborted);
    });
    const response = await request(port);
    response.pause();
    await sleep(300);
    const before = sent;
    await sleep(200);
    expect(sent).toBe(before);
    response.destroy();
    expect(await finished.promise).toBe(true);
  });

  it('lets many answers wait for one slow reader without a warning of a leak', async () => {
    const warnings: Error[] = [];
    const warned = (warning: Error): number => warnings.push(warning);
    process.on('warning', warned);
    closers.push(() => void process.off('warning', warned));
    const finished = Promise.withResolvers<void>();
    const { port } = await serve(async (stream) => {
      const answers = Array.from({ length: 32 }, () => stream.send('x'.repeat(2 ** 20)));
      await Promise.all(answers);
      finished.resolve();
      await stream.done();
    });
    const response = await request(port);
    expect((await textOf(response)).length).toBeGreaterThan(32 * 2 ** 20);
    await finished.promise;
    expect(warnings).toEqual([]);
  });

  it('gives a sign of life while there is nothing to say, and only then', async () => {
    const talking = Promise.withResolvers<void>();
    const { port } = await serve(
      async (stream) => {
        await talking.promise;
        await stream.send({ a: 1 });
        await stream.done();
      },
      { quiet: 20 },
    );
    const response = await request(port);
    const text = textOf(response);
    response.once('data', () => talking.resolve());
    // Comments are no events: they begin with a colon and end with an empty line.
    expect(await text).toMatch(/^(: still working\n\n)+data: \{"a":1\}\n\ndata: \[DONE\]\n\n$/);
  });

  it('forgets a stream whose client left before it was opened', async () => {
    const streams = new SseStreams();
    const opened = Promise.withResolvers<SseStream>();
    const app = Fastify();
    app.get('/', (_request, reply) => {
      reply.raw.once('close', () => opened.resolve(streams.open(reply)));
      reply.raw.socket?.destroy();
    });
    await app.listen({ port: 0 });
    closers.push(() => app.close());
    await expect(request((app.server.address() as AddressInfo).port)).rejects.toThrow('hang up');
    const stream = await opened.promise;
    expect([stream.closed, stream.signal.aborted, streams.size]).toEqual([true, true, 0]);
    await streams.closeAll();
  });

  it('does not wait at a shutdown for a client that has stopped reading', async () => {
    const { port, streams } = await serve(async (stream) => {
      while (!stream.closed) await stream.send('x'.repeat(100_000));
    });
    const response = await request(port);
    response.on('error', () => undefined);
    response.pause();
    await sleep(300);
    await streams.closeAll();
    expect(streams.size).toBe(0);
  });

  it('says that the server is shutting down, to open streams and to late ones', async () => {
    const { port, streams } = await serve(async (stream) => {
      await stream.send({ a: 1 });
    });
    const response = await request(port);
    const text = textOf(response);
    await sleep(50);
    await streams.closeAll();
    expect(await text).toContain('shutting down');
    expect(await textOf(await request(port))).toContain('shutting down');
  });
});
