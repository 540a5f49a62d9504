// One model over one or many safetensors files. Stub of the public shape.
import type { SafetensorsFile } from './safetensors-reader.ts';

export interface SafetensorsFolder extends SafetensorsFile, AsyncDisposable {
  /** Closes all shards; idempotent. */
  close(): Promise<void>;
}

/**
 * `path`: one .safetensors file, or a folder with `model.safetensors` or
 * `model.safetensors.index.json` and its shards (`stem` instead of `model` for adapters).
 */
export function openSafetensors(_path: string, _stem = 'model'): Promise<SafetensorsFolder> {
  return Promise.reject(new Error('not written yet'));
}
