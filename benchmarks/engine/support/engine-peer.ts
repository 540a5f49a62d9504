// The engine child as a peer: over IPC, as the server talks to it.
import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { EngineMessage } from '@corral/contracts';
import type { Peer } from './streams.ts';

export interface EnginePeer extends Peer {
  /** Sends a request and waits for its answer. */
  call(request: Record<string, unknown>): Promise<unknown>;
}

export interface EnginePeerOptions {
  readonly name: string;
  readonly model: string;
  /** Of `load`. */
  readonly options: Record<string, unknown>;
  /** Files, loaded as adapters of their number. */
  readonly adapters?: readonly string[];
}

/** Resident bytes and processor time of a process (Linux; ticks of 10 ms). */
export function processUsage(pid: number | undefined): { memory: number; processorMs: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return {
    memory: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024,
    processorMs: (Number(fields[11]) + Number(fields[12])) * 10,
  };
}

/** The child, and a way to wait for what it says of a request. */
export function startEngineChild() {
  const child = fork(fileURLToPath(import.meta.resolve('@corral/engine/worker')), [], {
    execPath: process.execPath,
    execArgv: [],
  });
  const listeners = new Map<string, (message: EngineMessage) => void>();
  child.on('message', (value) => {
    const message = value as EngineMessage;
    if (message.type !== 'tokens') listeners.get(message.id)?.(message);
    else
      for (const event of message.events)
        listeners.get(event.id)?.({ type: 'tokens', events: [event] });
  });
  let ids = 0;

  /** Resolves when `done` accepts a message about the request. */
  function ask<T>(
    request: Record<string, unknown>,
    done: (message: EngineMessage) => T | undefined,
  ): Promise<T> {
    const id = `b${ids++}`;
    return new Promise((resolve, reject) => {
      listeners.set(id, (message) => {
        const failed = message.type === 'error';
        const found = failed ? undefined : done(message);
        if (!failed && found === undefined) return;
        listeners.delete(id);
        if (failed) reject(new Error(JSON.stringify(message.error)));
        else resolve(found as T);
      });
      child.send({ ...request, id });
    });
  }
  return { child, ask };
}

export async function startEnginePeer(start: EnginePeerOptions): Promise<EnginePeer> {
  const { child, ask } = startEngineChild();
  const call = (request: Record<string, unknown>): Promise<unknown> =>
    ask(request, (message) => {
      if (message.type === 'ready') return message.model;
      return message.type === 'result' ? { value: message.value } : undefined;
    });
  await call({ type: 'load', model_path: start.model, options: start.options });
  for (const [i, path] of (start.adapters ?? []).entries())
    await call({ type: 'load_adapter', adapter_id: String(i), path });
  return {
    name: start.name,
    call,
    usage: () => processUsage(child.pid),
    stream: ({ promptTokens, tokens, adapter }) => {
      let first = 0;
      const request = {
        type: 'generate',
        tenant: 'bench',
        adapter_id: adapter === null ? null : String(adapter),
        prompt: { kind: 'tokens', tokens: promptTokens },
        sampling: { temperature: 0 },
        max_tokens: tokens,
        ignore_eos: true,
        cache_prompt: false,
      };
      return ask(request, (message) => {
        if (message.type !== 'tokens') return undefined;
        if (first === 0) first = performance.now();
        const ended = message.events.some((event) => event.finish);
        return ended ? { first, last: performance.now() } : undefined;
      });
    },
    [Symbol.asyncDispose]: async () => {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill();
      await gone;
    },
  };
}
