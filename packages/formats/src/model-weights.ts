// A base model whatever its file: config, tokenizer and weights under Hugging Face's names and row
// order, read tensor by tensor as float32. Stub of the public shape.
import type { ModelConfig } from './model-config.ts';
import type { TokenizerFiles } from './tokenizer-from-gguf.ts';

export interface ModelTensor {
  /** Hugging Face's name. */
  readonly name: string;
  /** Row-major. */
  readonly shape: readonly number[];
  /** As stored: a ggml type or a safetensors dtype. */
  readonly storedAs: string;
}

export interface ModelWeights extends AsyncDisposable {
  readonly format: 'gguf' | 'safetensors';
  readonly config: ModelConfig;
  readonly tokenizer: TokenizerFiles;
  /** By Hugging Face's name. */
  readonly tensors: ReadonlyMap<string, ModelTensor>;
  /** Dequantised, and for GGUF of architecture `llama` q and k in Hugging Face's row order. */
  readFloats(name: string): Promise<Float32Array<ArrayBuffer>>;
  close(): Promise<void>;
}

/** `path`: a GGUF file or a folder with config.json, tokenizer.json and safetensors. */
export function openModelWeights(_path: string): Promise<ModelWeights> {
  return Promise.reject(new Error('not written yet'));
}
