// node-llama-cpp in a process of its own: one context with a sequence for each stream, batched by itself. Started
// by node-llama-cpp-peer.ts; the package is found in the folder it is told, never in this repository.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** What is used of node-llama-cpp. */
interface Sequence {
  evaluate(tokens: readonly number[], options: { temperature: number }): AsyncIterable<number>;
  dispose(): void;
}
interface Context {
  getSequence(): Sequence;
}
interface Model {
  createContext(options: Record<string, unknown>): Promise<Context>;
}
interface Llama {
  loadModel(options: { modelPath: string }): Promise<Model>;
}

/** Messages from the peer. */
export type ChildRequest =
  | {
      readonly type: 'load';
      readonly folder: string;
      readonly model: string;
      readonly sequences: number;
      readonly contextTokens: number;
      readonly threads: number;
    }
  | {
      readonly type: 'stream';
      readonly id: number;
      readonly promptTokens: readonly number[];
      readonly tokens: number;
    };

let context: Context | null = null;

async function load(request: Extract<ChildRequest, { type: 'load' }>): Promise<void> {
  const { folder, model, sequences, contextTokens, threads } = request;
  const entry = join(folder, 'node_modules', 'node-llama-cpp', 'dist', 'index.js');
  const library = (await import(pathToFileURL(entry).href)) as {
    getLlama(options: Record<string, unknown>): Promise<Llama>;
  };
  const llama = await library.getLlama({
    ...{ build: 'never', gpu: false, maxThreads: threads, logLevel: 'error' },
    progressLogs: false,
  });
  const loaded = await llama.loadModel({ modelPath: model });
  context = await loaded.createContext({
    ...{ sequences, contextSize: contextTokens, threads, batchSize: 512, flashAttention: true },
  });
  process.send?.({ type: 'ready' });
}

async function stream(request: Extract<ChildRequest, { type: 'stream' }>): Promise<void> {
  const { id, promptTokens, tokens } = request;
  const sequence = context?.getSequence();
  let next: readonly number[] = promptTokens;
  let count = 0;
  // Evaluation stops at an end of text: it goes on behind it.
  while (sequence && count < tokens) {
    for await (const token of sequence.evaluate(next, { temperature: 0 })) {
      next = [token];
      process.send?.({ type: 'token', id });
      if (++count === tokens) break;
    }
  }
  sequence?.dispose();
  process.send?.({ type: 'end', id });
}

process.on('message', (message) => {
  const request = message as ChildRequest;
  void (request.type === 'load' ? load(request) : stream(request));
});
process.on('disconnect', () => process.exit(0));
