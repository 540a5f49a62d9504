// Writes safetensors. Stub of the public shape.
import type { ByteSink } from './byte-sink.ts';
import type { SafetensorsDtype } from './safetensors-dtypes.ts';

export interface SafetensorsTensorToWrite {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  /** The bytes as stored, or a function that makes them when their turn comes. */
  readonly data: Uint8Array | (() => Uint8Array | Promise<Uint8Array>);
}

export interface SafetensorsToWrite {
  readonly metadata?: ReadonlyMap<string, string>;
  readonly tensors: readonly SafetensorsTensorToWrite[];
}

/** Streams header, then tensors, ordered as the reference implementation does (dtype, then name). */
export function writeSafetensors(_sink: ByteSink, _file: SafetensorsToWrite): Promise<void> {
  return Promise.reject(new Error('not written yet'));
}
