// Reads GGUF version 2 and 3. Stub of the public shape.
import type { ByteSource } from './byte-source.ts';
import type { GgufMetadata } from './gguf-metadata.ts';
import type { TensorType } from './tensor-types.ts';

export interface GgufTensorInfo {
  readonly name: string;
  readonly type: TensorType;
  /** Row-major, outermost first, as PyTorch says it: the reverse of ggml's `ne`. */
  readonly shape: readonly number[];
  readonly elementCount: number;
  /** Bytes from the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

export interface GgufFile {
  readonly version: 2 | 3;
  readonly alignment: number;
  readonly metadata: GgufMetadata;
  /** By name, in the order of the file. */
  readonly tensors: ReadonlyMap<string, GgufTensorInfo>;
  /** The stored bytes of a tensor. */
  readTensor(name: string): Promise<Uint8Array<ArrayBuffer>>;
  /** A tensor dequantised to float32, row-major. */
  readFloats(name: string): Promise<Float32Array<ArrayBuffer>>;
}

/** Reads and checks the header; tensors are read when asked for. The source stays the caller's. */
export function readGguf(_source: ByteSource): Promise<GgufFile> {
  return Promise.reject(new Error('not written yet'));
}
