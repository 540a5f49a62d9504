// A GGUF in one of llama.cpp's mixtures, written by the engine as a child process of the command line. Works without
// a server. Knows the engine's protocol (contracts: engine messages) and nothing of its inside.
import { fileURLToPath } from 'node:url';
import {
  CorralError,
  fromErrorPayload,
  type EngineMessage,
  type ServingForm,
} from '@corral/contracts';
import type { Context } from './context.ts';

const worker = (): string => fileURLToPath(import.meta.resolve('@corral/engine/worker'));

/** `target` exists when it is whole. @throws engine_failed, model_file_invalid, cancelled. */
export async function quantise(
  context: Pick<Context, 'children' | 'signal'>,
  request: { readonly source: string; readonly target: string; readonly ftype: ServingForm },
): Promise<void> {
  const child = context.children.spawn(process.execPath, [worker()], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  const stop = () => void child.close();
  context.signal.addEventListener('abort', stop, { once: true });
  let answer: EngineMessage | null = null;
  child.process.on('message', (message) => {
    const heard = message as EngineMessage;
    if (heard.type !== 'result' && heard.type !== 'error') return;
    answer ??= heard;
    void child.close();
  });
  child.process.send({ type: 'quantize', id: '1', ...request });
  await child.exited;
  context.signal.removeEventListener('abort', stop);
  if (context.signal.aborted) throw new CorralError('cancelled');
  const last = answer as EngineMessage | null;
  if (last?.type === 'error') throw fromErrorPayload(last.error);
  if (last === null)
    throw new CorralError('engine_failed', {
      params: { reason: 'its process ended without an answer' },
    });
}
