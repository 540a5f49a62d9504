// Writes GGUF version 3: the header whole, then one tensor after the other, so that a model larger than
// memory can be written. The same shapes go in as gguf-reader.ts gives out. Source: docs/gguf.md of ggml.
import type { ByteSink } from './byte-sink.ts';
import {
  ggufValueTypes,
  metadataNumber,
  type GgufArray,
  type GgufMetadata,
  type GgufNumericArray,
  type GgufValue,
  type GgufValueType,
} from './gguf-metadata.ts';
import { maxDims, maxGgufTensorNameBytes } from './limits.ts';
import { writeTensorData, type TensorData } from './tensor-data.ts';
import { tensorTypes, type TensorType } from './tensor-types.ts';

export interface GgufTensorToWrite {
  readonly name: string;
  readonly type: TensorType;
  /** Row-major, outermost first. */
  readonly shape: readonly number[];
  readonly data: TensorData;
}

export interface GgufToWrite {
  readonly metadata: GgufMetadata;
  readonly tensors: readonly GgufTensorToWrite[];
}

const defaultAlignment = 32;
const encoder = new TextEncoder();

/** Bytes that grow, little-endian. */
class HeaderBytes {
  #bytes = new Uint8Array(64 * 1024);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  #reserve(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.byteLength) {
      const grown = new Uint8Array(Math.max(this.#length, this.#bytes.byteLength * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }

  uint32(value: number): void {
    const at = this.#reserve(4);
    this.#view.setUint32(at, value, true);
  }

  uint64(value: number | bigint): void {
    const at = this.#reserve(8);
    this.#view.setBigUint64(at, BigInt(value), true);
  }

  bytes(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.byteLength);
    this.#bytes.set(bytes, at);
  }

  string(value: string): void {
    const bytes = encoder.encode(value);
    this.uint64(bytes.byteLength);
    this.bytes(bytes);
  }

  whole(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }
}

type NumericType = Exclude<GgufValueType, 'bool' | 'string' | 'array'>;

/** Makes the one-item array whose bytes are the value as stored. */
const numericArrays: Record<NumericType, (value: number | bigint) => GgufNumericArray> = {
  uint8: (value) => Uint8Array.of(Number(value)),
  int8: (value) => Int8Array.of(Number(value)),
  uint16: (value) => Uint16Array.of(Number(value)),
  int16: (value) => Int16Array.of(Number(value)),
  uint32: (value) => Uint32Array.of(Number(value)),
  int32: (value) => Int32Array.of(Number(value)),
  float32: (value) => Float32Array.of(Number(value)),
  float64: (value) => Float64Array.of(Number(value)),
  uint64: (value) => BigUint64Array.of(BigInt(value)),
  int64: (value) => BigInt64Array.of(BigInt(value)),
};

const stored = (items: GgufNumericArray): Uint8Array =>
  new Uint8Array(items.buffer, items.byteOffset, items.byteLength);

function writeArray(header: HeaderBytes, array: GgufArray): void {
  header.uint32(ggufValueTypes[array.itemType]);
  header.uint64(array.items.length);
  if (array.itemType === 'string') for (const item of array.items) header.string(item);
  else if (array.itemType === 'array') for (const item of array.items) writeArray(header, item);
  else if (array.itemType === 'bool') header.bytes(Uint8Array.from(array.items, Number));
  else header.bytes(stored(array.items));
}

function writeValue(header: HeaderBytes, entry: GgufValue): void {
  header.uint32(ggufValueTypes[entry.type]);
  if (entry.type === 'string') header.string(entry.value);
  else if (entry.type === 'array') writeArray(header, entry.value);
  else if (entry.type === 'bool') header.bytes(Uint8Array.of(Number(entry.value)));
  else header.bytes(stored(numericArrays[entry.type](entry.value)));
}

/** Bytes of a tensor as stored; RangeError for what no GGUF can hold. */
function tensorBytes({ name, type, shape }: GgufTensorToWrite): number {
  const { blockSize, blockBytes } = tensorTypes[type];
  const length = encoder.encode(name).byteLength;
  if (length < 1 || length > maxGgufTensorNameBytes)
    throw new RangeError(
      `the tensor name "${name}" has ${length} bytes; GGUF allows 1 to ${maxGgufTensorNameBytes}`,
    );
  const whole = shape.every((dim) => Number.isSafeInteger(dim) && dim > 0);
  if (shape.length < 1 || shape.length > maxDims || !whole || (shape.at(-1) ?? 0) % blockSize !== 0)
    throw new RangeError(
      `the tensor "${name}" cannot have the shape [${shape.join(', ')}] as ${type}`,
    );
  return (shape.reduce((product, dim) => product * dim, 1) / blockSize) * blockBytes;
}

const padding = (bytes: number, alignment: number): number =>
  (alignment - (bytes % alignment)) % alignment;

function buildHeader({ metadata, tensors }: GgufToWrite, alignment: number): Uint8Array {
  const header = new HeaderBytes();
  header.bytes(encoder.encode('GGUF'));
  header.uint32(3);
  header.uint64(tensors.length);
  header.uint64(metadata.size);
  for (const [key, entry] of metadata) {
    header.string(key);
    writeValue(header, entry);
  }
  let offset = 0;
  for (const tensor of tensors) {
    header.string(tensor.name);
    header.uint32(tensor.shape.length);
    for (const dim of tensor.shape.toReversed()) header.uint64(dim);
    header.uint32(tensorTypes[tensor.type].id);
    header.uint64(offset);
    const bytes = tensorBytes(tensor);
    offset += bytes + padding(bytes, alignment);
  }
  header.bytes(new Uint8Array(padding(header.whole().byteLength, alignment)));
  return header.whole();
}

/**
 * Streams header, then tensors in order, each padded to the alignment (32, or `general.alignment` of the
 * metadata). RangeError when a tensor's data has another length than its shape says.
 */
export async function writeGguf(sink: ByteSink, model: GgufToWrite): Promise<void> {
  const alignment = metadataNumber(model.metadata, 'general.alignment') ?? defaultAlignment;
  await sink.write(buildHeader(model, alignment));
  for (const tensor of model.tensors) {
    const expected = tensorBytes(tensor);
    await writeTensorData(sink, tensor, expected);
    await sink.write(new Uint8Array(padding(expected, alignment)));
  }
}
