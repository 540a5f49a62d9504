// node-llama-cpp as a peer: batching by its own context, tokens counted as they leave its process.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { processUsage } from './engine-peer.ts';
import type { ChildRequest } from './node-llama-cpp-child.ts';
import type { Peer } from './streams.ts';

export interface NodeLlamaCppOptions {
  /** Where `npm i node-llama-cpp` was run. */
  readonly folder: string;
  readonly model: string;
  readonly sequences: number;
  /** Tokens of one stream. */
  readonly contextTokens: number;
  readonly threads: number;
}

type Answer = { readonly type: 'ready' } | { readonly type: 'token' | 'end'; readonly id: number };

export async function startNodeLlamaCpp(options: NodeLlamaCppOptions): Promise<Peer> {
  const script = fileURLToPath(new URL('node-llama-cpp-child.ts', import.meta.url));
  const child = fork(script, [], { execPath: process.execPath, execArgv: [] });
  const listeners = new Map<number, (type: 'token' | 'end') => void>();
  const ready = Promise.withResolvers<void>();
  child.on('exit', () => ready.reject(new Error('node-llama-cpp did not start')));
  child.on('message', (message) => {
    const answer = message as Answer;
    if (answer.type === 'ready') ready.resolve();
    else listeners.get(answer.id)?.(answer.type);
  });
  const send = (request: ChildRequest): boolean => child.send(request);
  send({ type: 'load', ...options });
  await ready.promise;
  let ids = 0;
  return {
    name: 'node-llama-cpp',
    usage: () => processUsage(child.pid),
    stream: ({ promptTokens, tokens }) => {
      const id = ids++;
      const { promise, resolve } = Promise.withResolvers<{ first: number; last: number }>();
      let first = 0;
      let last = 0;
      listeners.set(id, (type) => {
        last = performance.now();
        if (first === 0) first = last;
        if (type === 'end') resolve({ first, last });
      });
      send({ type: 'stream', id, promptTokens, tokens });
      return promise;
    },
    [Symbol.asyncDispose]: async () => {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill();
      await gone;
    },
  };
}
