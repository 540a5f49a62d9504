// Decides by content what a file is. Stub of the public shape.
import type { ByteSource } from './byte-source.ts';

export type ModelFormat = 'gguf' | 'safetensors';

/** 'gguf' or 'safetensors'; anything else is a FormatError `model_format_refused` that names what it is. */
export function detectFormat(_source: ByteSource): Promise<ModelFormat> {
  return Promise.reject(new Error('not written yet'));
}
