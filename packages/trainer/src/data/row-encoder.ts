// Who encodes rows: this thread, or several threads beside it, each with its own tokenizer. The answers
// come in the order of the questions, so the number of threads changes nothing but the time.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { type ErrorPayload, fromErrorPayload } from '@corral/contracts';
import { type EncodedRows, type RowsToEncode, encodeRows } from './encode-rows.ts';
import type { Encoder } from './encode.ts';
import type { EncoderOptions } from './open-encoder.ts';

export interface RowEncoder extends AsyncDisposable {
  /** Questions worth having open at once. */
  readonly width: number;
  encode(request: RowsToEncode): Promise<EncodedRows>;
}

/** In this thread. */
export const inlineEncoder = (encoder: Encoder): RowEncoder => ({
  width: 1,
  encode: (request) => Promise.resolve(encodeRows(request, encoder)),
  [Symbol.asyncDispose]: () => Promise.resolve(),
});

const entry = new URL('./encode-worker.ts', import.meta.url);

/** What a thread answers. */
export type EncodeAnswer = { readonly result: EncodedRows } | { readonly error: ErrorPayload };

class EncodingThread {
  readonly worker: Worker;
  private free: Promise<unknown> = Promise.resolve();

  constructor(options: EncoderOptions) {
    this.worker = new Worker(entry, { workerData: options });
    // Its death is told to whoever asks it, not to everybody.
    this.worker.on('error', () => undefined);
  }

  ask(request: RowsToEncode): Promise<EncodedRows> {
    const answer = this.free.then(() => this.exchange(request));
    this.free = answer.catch(() => undefined);
    return answer;
  }

  private async exchange(request: RowsToEncode): Promise<EncodedRows> {
    const waiting = new AbortController();
    const { signal } = waiting;
    const exited = once(this.worker, 'exit', { signal }).then(() => {
      throw new Error('a tokenising thread ended');
    });
    try {
      this.worker.postMessage(request);
      const [answer] = (await Promise.race([once(this.worker, 'message', { signal }), exited])) as [
        EncodeAnswer,
      ];
      if ('error' in answer) throw fromErrorPayload(answer.error);
      return answer.result;
    } finally {
      waiting.abort();
      exited.catch(() => undefined);
    }
  }
}

/** In `threads` threads, asked in turn. */
export function threadedEncoder(options: EncoderOptions, threads: number): RowEncoder {
  const pool = Array.from({ length: threads }, () => new EncodingThread(options));
  let next = 0;
  return {
    width: 2 * threads,
    encode: (request) => {
      const thread = pool[next % threads];
      next += 1;
      if (!thread) throw new RangeError('there are no threads');
      return thread.ask(request);
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(pool.map(({ worker }) => worker.terminate()));
    },
  };
}
