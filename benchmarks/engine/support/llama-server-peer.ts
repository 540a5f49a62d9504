// llama-server of the same release as a peer: its own HTTP interface, tokens streamed, adapters by its `lora`
// field for each request.
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { processUsage } from './engine-peer.ts';
import type { Peer, StreamRequest } from './streams.ts';

export interface LlamaServerOptions {
  readonly binary: string;
  readonly model: string;
  readonly adapters: readonly string[];
  readonly streams: number;
  /** Tokens of one stream. */
  readonly context: number;
  readonly threads: number;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

async function waitUntilReady(url: string, exited: () => boolean): Promise<void> {
  const end = performance.now() + 120_000;
  while (performance.now() < end && !exited()) {
    const ready = await fetch(`${url}/health`).then(
      (response) => response.ok,
      () => false,
    );
    if (ready) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('llama-server did not become ready');
}

async function stream(
  url: string,
  { promptTokens, tokens, adapter }: StreamRequest,
): Promise<{ first: number; last: number }> {
  const response = await fetch(`${url}/completion`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      prompt: promptTokens,
      n_predict: tokens,
      temperature: 0,
      ignore_eos: true,
      cache_prompt: false,
      stream: true,
      lora: adapter === null ? [] : [{ id: adapter, scale: 1 }],
    }),
  });
  if (!response.ok || !response.body) throw new Error(await response.text());
  let first = 0;
  let last = 0;
  for await (const bytes of response.body) {
    if (!Buffer.from(bytes).includes('data:')) continue;
    last = performance.now();
    if (first === 0) first = last;
  }
  return { first, last };
}

export interface LlamaServerPeer extends Peer {
  readonly url: string;
  readonly pid: number | undefined;
}

export async function startLlamaServer(options: LlamaServerOptions): Promise<LlamaServerPeer> {
  const { binary, model, adapters, streams, context, threads } = options;
  const port = await freePort();
  const flags = {
    '--model': model,
    '--port': port,
    '--parallel': streams,
    '--ctx-size': context * streams,
    '--threads': threads,
    '--threads-batch': threads,
    ...(adapters.length > 0 ? { '--lora': adapters.join(',') } : {}),
  };
  const child = spawn(
    binary,
    [...Object.entries(flags).flat().map(String), '--lora-init-without-apply', '--no-webui'],
    { stdio: 'ignore' },
  );
  const url = `http://127.0.0.1:${port}`;
  await waitUntilReady(url, () => child.exitCode !== null);
  return {
    name: 'llama-server',
    url,
    pid: child.pid,
    usage: () => processUsage(child.pid),
    stream: (request) => stream(url, request),
    [Symbol.asyncDispose]: async () => {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill();
      await gone;
    },
  };
}
