// Reads one safetensors file: eight bytes of header length, a JSON header, then the tensors without holes.
// The header is checked whole (duplicate keys, dtypes, shapes, offsets, order, truncation) before any tensor
// is read. Source: the format's specification in the safetensors repository.
import type { ByteSource } from './byte-source.ts';
import { dequantise } from './dequantise.ts';
import { FormatError, withPath } from './format-error.ts';
import {
  maxSafetensorsDims,
  maxSafetensorsHeaderBytes,
  maxSafetensorsNameLength,
  maxTensorBytes,
  maxTensors,
} from './limits.ts';
import { safetensorsDtypes, type SafetensorsDtype } from './safetensors-dtypes.ts';
import { isJsonObject, parseStrictJson } from './strict-json.ts';

export interface SafetensorsTensorInfo {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  /** Row-major; empty for a scalar. */
  readonly shape: readonly number[];
  readonly elementCount: number;
  /** Bytes from the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

export interface SafetensorsFile {
  /** The strings under `__metadata__`. */
  readonly metadata: ReadonlyMap<string, string>;
  /** By name, in the order of their data. */
  readonly tensors: ReadonlyMap<string, SafetensorsTensorInfo>;
  /** The stored bytes of a tensor. */
  readTensor(name: string): Promise<Uint8Array<ArrayBuffer>>;
  /** A tensor of F32, F16 or BF16 as float32. */
  readFloats(name: string): Promise<Float32Array<ArrayBuffer>>;
  /** `count` rows (elements of the outermost dimension) from row `from` as float32. */
  readRows(name: string, from: number, count: number): Promise<Float32Array<ArrayBuffer>>;
}

const lengthBytes = 8;
const isNatural = (value: unknown): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0;

function readMetadata(value: unknown): Map<string, string> {
  if (value === undefined) return new Map();
  if (!isJsonObject(value)) throw new FormatError('"__metadata__" is no object');
  const metadata = new Map<string, string>();
  for (const [key, item] of Object.entries(value)) {
    if (typeof item !== 'string') throw new FormatError(`the metadata key "${key}" is no string`);
    metadata.set(key, item);
  }
  return metadata;
}

function readShape(name: string, value: unknown): number[] {
  if (!Array.isArray(value) || value.length > maxSafetensorsDims || !value.every(isNatural))
    throw new FormatError(`the tensor "${name}" has no valid shape`);
  return value;
}

function readTensorInfo(name: string, value: unknown, dataStart: number): SafetensorsTensorInfo {
  if (name.length > maxSafetensorsNameLength)
    throw new FormatError(`a tensor name has ${name.length} characters`);
  if (!isJsonObject(value)) throw new FormatError(`the entry "${name}" is no object`);
  const { dtype, shape: storedShape, data_offsets: offsets } = value;
  if (typeof dtype !== 'string' || !Object.hasOwn(safetensorsDtypes, dtype))
    throw new FormatError(`the tensor "${name}" has the unknown dtype ${JSON.stringify(dtype)}`);
  const known = dtype as SafetensorsDtype;
  const shape = readShape(name, storedShape);
  const [begin, end]: unknown[] = Array.isArray(offsets) && offsets.length === 2 ? offsets : [];
  if (!isNatural(begin) || !isNatural(end) || begin > end)
    throw new FormatError(`the tensor "${name}" has no valid data_offsets`);
  const elements = shape.reduce((product, dim) => product * BigInt(dim), 1n);
  const bytes = elements * BigInt(safetensorsDtypes[known]);
  if (bytes !== BigInt(end - begin))
    throw new FormatError(
      `the tensor "${name}" (${known}, ${shape.join(' × ')}) needs ${bytes} bytes, but has ${end - begin}`,
    );
  return {
    name,
    dtype: known,
    shape,
    elementCount: Number(elements),
    offset: dataStart + begin,
    byteLength: end - begin,
  };
}

/** In the order of their data, which must fill the file from `dataStart` to its end without holes. */
function checkLayout(
  tensors: SafetensorsTensorInfo[],
  dataStart: number,
  fileSize: number,
): ReadonlyMap<string, SafetensorsTensorInfo> {
  tensors.sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  let expected = dataStart;
  for (const { name, offset, byteLength } of tensors) {
    if (offset !== expected)
      throw new FormatError(
        `the tensor "${name}" starts at byte ${offset}; ${expected} was expected (overlap or hole)`,
      );
    expected = offset + byteLength;
  }
  if (expected > fileSize)
    throw new FormatError(`the tensors end at byte ${expected}, but the file ends at ${fileSize}`);
  if (expected < fileSize)
    throw new FormatError(`${fileSize - expected} bytes follow the last tensor`);
  return new Map(tensors.map((tensor) => [tensor.name, tensor]));
}

async function readHeader(source: ByteSource): Promise<{ header: unknown; dataStart: number }> {
  if (source.size < lengthBytes)
    throw new FormatError(`the file has ${source.size} bytes, too few for safetensors`);
  const prefix = await source.read(0, lengthBytes);
  const length = new DataView(prefix.buffer).getBigUint64(0, true);
  if (length > BigInt(maxSafetensorsHeaderBytes))
    throw new FormatError(
      `the header has ${length} bytes; the limit is ${maxSafetensorsHeaderBytes}`,
    );
  const dataStart = lengthBytes + Number(length);
  if (dataStart > source.size)
    throw new FormatError(
      `the header ends at byte ${dataStart}, but the file ends at ${source.size}`,
    );
  const bytes = await source.read(lengthBytes, Number(length));
  if (bytes[0] !== 0x7b) throw new FormatError('the header does not begin with "{"');
  return { header: parseStrictJson(bytes, 'the header'), dataStart };
}

/** Reads and checks the header. The source stays the caller's: it must be open while tensors are read. */
export function readSafetensors(source: ByteSource): Promise<SafetensorsFile> {
  return withPath(source.name, async () => {
    const { header, dataStart } = await readHeader(source);
    if (!isJsonObject(header)) throw new FormatError('the header is no object');
    const { __metadata__: metadata, ...entries } = header;
    const names = Object.keys(entries);
    if (names.length > maxTensors)
      throw new FormatError(`the file has ${names.length} tensors; the limit is ${maxTensors}`);
    const infos = names.map((name) => readTensorInfo(name, entries[name], dataStart));
    const tensors = checkLayout(infos, dataStart, source.size);
    const find = (name: string): SafetensorsTensorInfo => {
      const found = tensors.get(name);
      if (found === undefined)
        throw new FormatError(`there is no tensor "${name}"`, { path: source.name });
      return found;
    };
    const readTensor = async (name: string): Promise<Uint8Array<ArrayBuffer>> => {
      const { offset, byteLength } = find(name);
      return source.read(offset, byteLength);
    };
    const readRows = async (
      name: string,
      from: number,
      count: number,
    ): Promise<Float32Array<ArrayBuffer>> => {
      const { dtype, shape, offset, byteLength } = find(name);
      const path = source.name;
      if (dtype !== 'F32' && dtype !== 'F16' && dtype !== 'BF16')
        throw new FormatError(`the tensor "${name}" is ${dtype}; F32, F16 and BF16 are read`, {
          path,
        });
      const rowBytes = byteLength / Math.max(1, shape[0] ?? 1);
      if ((count * rowBytes * 4) / safetensorsDtypes[dtype] > maxTensorBytes)
        throw new FormatError(`the tensor "${name}" is too large`, { path });
      return dequantise(dtype, await source.read(offset + from * rowBytes, count * rowBytes));
    };
    const readFloats = (name: string): Promise<Float32Array<ArrayBuffer>> =>
      readRows(name, 0, Math.max(1, find(name).shape[0] ?? 1));
    return { metadata: readMetadata(metadata), tensors, readTensor, readFloats, readRows };
  });
}
