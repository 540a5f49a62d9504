// Writes weights in another form, each time in a child of its own that ends with the work.
import type { ServingForm } from '@corral/contracts';
import { EngineChild } from './engine-child.ts';
import type { EngineChildOptions } from './engine-child.ts';

export interface QuantiseRequest {
  /** A GGUF, or a Hugging Face folder. */
  readonly source: string;
  readonly target: string;
  readonly ftype: ServingForm;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

export interface Quantiser {
  /** Errors: engine_failed, model_file_invalid. */
  quantise(request: QuantiseRequest): Promise<void>;
  /** Ends what runs. Idempotent. */
  close(): Promise<void>;
}

export function createQuantiser(options: EngineChildOptions): Quantiser {
  const children = new Set<EngineChild>();
  return {
    async quantise({ signal, onProgress, ...request }) {
      // Synchronous native work of minutes for large models: never watched, only the caller's signal.
      const child = new EngineChild(options);
      const abort = (): void => child.kill('it was cancelled');
      children.add(child);
      signal?.addEventListener('abort', abort, { once: true });
      try {
        await child.request({ type: 'quantize', ...request }, onProgress);
      } finally {
        signal?.removeEventListener('abort', abort);
        await child.close();
        children.delete(child);
      }
    },

    async close() {
      for (const child of children) child.kill('the server is stopping');
      await Promise.all([...children].map((child) => child.exited));
    },
  };
}
