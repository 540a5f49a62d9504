// Writes GGUF version 3. Stub of the public shape.
import type { ByteSink } from './byte-sink.ts';
import type { GgufMetadata } from './gguf-metadata.ts';
import type { TensorType } from './tensor-types.ts';

export interface GgufTensorToWrite {
  readonly name: string;
  readonly type: TensorType;
  /** Row-major, outermost first. */
  readonly shape: readonly number[];
  /** The bytes as stored; a function is called when its turn comes, so one tensor is in memory at a time. */
  readonly data: Uint8Array | (() => Uint8Array | Promise<Uint8Array>);
}

export interface GgufToWrite {
  readonly metadata: GgufMetadata;
  readonly tensors: readonly GgufTensorToWrite[];
}

/** Streams header, then tensors in order. */
export function writeGguf(_sink: ByteSink, _model: GgufToWrite): Promise<void> {
  return Promise.reject(new Error('not written yet'));
}
