// Reads safetensors. Stub of the public shape.
import type { ByteSource } from './byte-source.ts';
import type { SafetensorsDtype } from './safetensors-dtypes.ts';

export interface SafetensorsTensorInfo {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  /** Row-major. */
  readonly shape: readonly number[];
  readonly elementCount: number;
  /** Bytes from the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

export interface SafetensorsFile {
  /** The strings under `__metadata__`. */
  readonly metadata: ReadonlyMap<string, string>;
  readonly tensors: ReadonlyMap<string, SafetensorsTensorInfo>;
  readTensor(name: string): Promise<Uint8Array<ArrayBuffer>>;
  /** A tensor of F32, F16 or BF16 as float32. */
  readFloats(name: string): Promise<Float32Array<ArrayBuffer>>;
}

/** Reads and checks the header. The source stays the caller's. */
export function readSafetensors(_source: ByteSource): Promise<SafetensorsFile> {
  return Promise.reject(new Error('not written yet'));
}
