// An engine host over the fake library, with what tests ask of it: send, run to the end, read the news.
import type { EngineMessage, EngineRequestInput, GenerationEvent } from '@corral/contracts';
import { createEngineHost } from './engine-host.ts';
import { createFakeLibrary } from './llama-cpp/native-library.fake.ts';

type Changes = Partial<Extract<EngineRequestInput, { type: 'generate' }>>;

/** A host with a loaded model; `options` are those of `load`. */
export async function startFakeEngine(options: Record<string, number> = {}) {
  const library = createFakeLibrary();
  const messages: EngineMessage[] = [];
  let stopped = false;
  const host = createEngineHost({
    openLibrary: () => library,
    checkFile: () => Promise.resolve(),
    send: (message) => messages.push(message),
    stop: () => {
      stopped = true;
    },
  });
  const send = (message: unknown): Promise<void> => host.handle(message);
  const generate = (id: string, changes: Changes = {}): Promise<void> =>
    send({
      type: 'generate',
      id,
      tenant: 't',
      prompt: { kind: 'text', text: 'hello' },
      sampling: { temperature: 0 },
      max_tokens: 8,
      ignore_eos: true,
      ...changes,
    });
  const run = (): void => {
    for (let i = 0; host.busy && i < 1000; i++) host.step();
  };
  const events = (id: string): GenerationEvent[] =>
    messages.flatMap((message) =>
      message.type === 'tokens' ? message.events.filter((event) => event.id === id) : [],
    );
  const tokens = (id: string): number[] => events(id).flatMap((event) => event.tokens);
  const finish = (id: string) => events(id).findLast((event) => event.finish)?.finish;
  const answer = (id: string) =>
    messages.find((message) => message.type !== 'tokens' && message.id === id);
  const errorOf = (id: string) => {
    const found = answer(id);
    return found?.type === 'error' ? found.error : undefined;
  };
  const load = { n_ctx: 256, n_seq_max: 4, n_batch: 64, n_threads: 1, ...options };
  await send({ type: 'load', id: 'load', model_path: 'model.gguf', options: load });
  const kit = { host, library, messages, send, generate, run, events, tokens, finish };
  return { ...kit, answer, errorOf, stopped: () => stopped };
}

/** A host that has no model yet, and what it answers. */
export function createIdleEngine(library = createFakeLibrary()) {
  const messages: EngineMessage[] = [];
  const host = createEngineHost({
    openLibrary: () => library,
    checkFile: () => Promise.resolve(),
    send: (message) => messages.push(message),
    stop: () => {},
  });
  return { host, messages, library };
}

export const textOf = (events: readonly GenerationEvent[]): string =>
  events.map((event) => event.text).join('');
