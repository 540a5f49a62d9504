// Reads GGUF versions 2 and 3: header at once and checked whole (counts, shapes, types, offsets, overlap,
// truncation), tensors when asked for. The file is hostile until it has passed here; what only a model
// must satisfy is gguf-validate.ts's business. Source: docs/gguf.md of ggml; gguf.cpp of llama.cpp.
import type { ByteSource } from './byte-source.ts';
import { dequantise } from './dequantise.ts';
import { FormatError, withPath } from './format-error.ts';
import { metadataNumber, type GgufMetadata } from './gguf-metadata.ts';
import { readGgufEntries, readGgufString } from './gguf-values.ts';
import { HeaderCursor } from './header-cursor.ts';
import {
  maxDims,
  maxGgufAlignment,
  maxGgufEntries,
  maxGgufHeaderBytes,
  maxGgufTensorNameBytes,
  maxTensorBytes,
  maxTensors,
} from './limits.ts';
import { tensorTypeById, tensorTypes, type TensorType } from './tensor-types.ts';

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
  /** Bytes; tensors start at multiples of it, counted from the start of the data. */
  readonly alignment: number;
  readonly metadata: GgufMetadata;
  /** By name, in the order of the file. */
  readonly tensors: ReadonlyMap<string, GgufTensorInfo>;
  /** The stored bytes of a tensor. */
  readTensor(name: string): Promise<Uint8Array<ArrayBuffer>>;
  /** A tensor dequantised to float32, row-major. */
  readFloats(name: string): Promise<Float32Array<ArrayBuffer>>;
  /** `count` rows of a matrix from row `from`, dequantised to float32. */
  readRows(name: string, from: number, count: number): Promise<Float32Array<ArrayBuffer>>;
}

const magic = 0x46554747; // "GGUF", little-endian
const defaultAlignment = 32;
/** Type, tensor count and pair count take 4 + 8 + 8 bytes after the magic. */
const fixedHeaderBytes = 24;
/** A tensor info is at least: name length 8, name 1, dims 4, one dim 8, type 4, offset 8. */
const minTensorInfoBytes = 33;
/** A pair is at least: key length 8, key 1, type 4, value 1. */
const minEntryBytes = 14;

function readVersion(cursor: HeaderCursor): 2 | 3 {
  if (cursor.uint32() !== magic)
    throw new FormatError('no GGUF file (it does not begin with "GGUF")', {
      code: 'model_format_refused',
    });
  const version = cursor.uint32();
  if (version === 2 || version === 3) return version;
  if ((version & 0xffff) === 0)
    throw new FormatError('the GGUF file is big-endian, which is not supported');
  throw new FormatError(`GGUF version ${version} is not supported; 2 and 3 are`);
}

function readAlignment(metadata: GgufMetadata): number {
  const alignment = metadataNumber(metadata, 'general.alignment');
  if (alignment === undefined) return defaultAlignment;
  const type = metadata.get('general.alignment')?.type;
  const powerOfTwo = alignment > 0 && (alignment & (alignment - 1)) === 0;
  if (type !== 'uint32' || !powerOfTwo || alignment > maxGgufAlignment)
    throw new FormatError(
      `general.alignment is ${alignment} (${type}); it must be a uint32 and a power of two up to ${maxGgufAlignment}`,
    );
  return alignment;
}

/** A tensor info as stored, before its offset is known to be inside the file. */
interface RawTensor {
  readonly name: string;
  readonly type: TensorType;
  readonly shape: readonly number[];
  readonly elements: bigint;
  readonly bytes: bigint;
  readonly relativeOffset: bigint;
}

async function readShape(cursor: HeaderCursor, name: string): Promise<number[]> {
  await cursor.need(4, `the number of dimensions of "${name}"`);
  const dims = cursor.uint32();
  if (dims < 1 || dims > maxDims)
    throw new FormatError(
      `the tensor "${name}" has ${dims} dimensions; 1 to ${maxDims} are allowed`,
    );
  await cursor.need(dims * 8, `the dimensions of "${name}"`);
  const shape: number[] = [];
  for (let i = 0; i < dims; i++) {
    const dim = cursor.uint64();
    if (dim < 1n || dim > BigInt(Number.MAX_SAFE_INTEGER))
      throw new FormatError(`the tensor "${name}" has a dimension of ${dim}`);
    shape.unshift(Number(dim));
  }
  return shape;
}

async function readTensorInfo(cursor: HeaderCursor, index: number): Promise<RawTensor> {
  const name = await readGgufString(cursor, `the name of tensor ${index}`, maxGgufTensorNameBytes);
  if (name === '') throw new FormatError(`tensor ${index} has no name`);
  const shape = await readShape(cursor, name);
  await cursor.need(12, `type and offset of "${name}"`);
  const id = cursor.uint32();
  const type = tensorTypeById(id);
  if (type === undefined) throw new FormatError(`the tensor "${name}" has the unknown type ${id}`);
  const { blockSize, blockBytes } = tensorTypes[type];
  const row = shape.at(-1) ?? 0;
  if (row % blockSize !== 0)
    throw new FormatError(
      `the tensor "${name}" has rows of ${row} elements, no multiple of the ${blockSize} of a ${type} block`,
    );
  const elements = shape.reduce((product, dim) => product * BigInt(dim), 1n);
  const bytes = (elements / BigInt(blockSize)) * BigInt(blockBytes);
  return { name, type, shape, elements, bytes, relativeOffset: cursor.uint64() };
}

interface DataSection {
  readonly start: number;
  readonly alignment: number;
  readonly fileSize: number;
}

function placeTensor(raw: RawTensor, section: DataSection): GgufTensorInfo {
  const { name, type, shape, elements, bytes, relativeOffset } = raw;
  if (relativeOffset % BigInt(section.alignment) !== 0n)
    throw new FormatError(
      `the tensor "${name}" starts at ${relativeOffset}, no multiple of the alignment ${section.alignment}`,
    );
  const offset = BigInt(section.start) + relativeOffset;
  const end = offset + bytes;
  if (end > BigInt(section.fileSize))
    throw new FormatError(
      `the tensor "${name}" (${type}, ${shape.join(' × ')}) ends at byte ${end}, but the file ends at ${section.fileSize}`,
    );
  return {
    name,
    type,
    shape,
    elementCount: Number(elements),
    offset: Number(offset),
    byteLength: Number(bytes),
  };
}

function checkOverlap(tensors: Iterable<GgufTensorInfo>): void {
  const sorted = [...tensors].sort((a, b) => a.offset - b.offset);
  for (const [i, tensor] of sorted.entries()) {
    const next = sorted[i + 1];
    if (next !== undefined && tensor.offset + tensor.byteLength > next.offset)
      throw new FormatError(`the tensors "${tensor.name}" and "${next.name}" overlap`);
  }
}

async function readTensorInfos(
  cursor: HeaderCursor,
  count: number,
  alignment: number,
  fileSize: number,
): Promise<ReadonlyMap<string, GgufTensorInfo>> {
  const raws = new Map<string, RawTensor>();
  for (let i = 0; i < count; i++) {
    const raw = await readTensorInfo(cursor, i);
    if (raws.has(raw.name)) throw new FormatError(`the tensor "${raw.name}" stands twice`);
    raws.set(raw.name, raw);
  }
  const start = Math.ceil(cursor.position / alignment) * alignment;
  const section = { start, alignment, fileSize };
  const tensors = new Map<string, GgufTensorInfo>();
  for (const raw of raws.values()) tensors.set(raw.name, placeTensor(raw, section));
  checkOverlap(tensors.values());
  return tensors;
}

/**
 * Reads and checks the header; tensors are read when asked for. The source stays the caller's: it must
 * be open while tensors are read. Throws FormatError (`model_format_refused` when it is no GGUF at all).
 */
export function readGguf(source: ByteSource): Promise<GgufFile> {
  return withPath(source.name, async () => {
    const cursor = new HeaderCursor(source, maxGgufHeaderBytes);
    await cursor.need(fixedHeaderBytes, 'the GGUF header');
    const version = readVersion(cursor);
    const tensorCount = cursor.count('the number of tensors', maxTensors, minTensorInfoBytes);
    const entryCount = cursor.count('the number of metadata keys', maxGgufEntries, minEntryBytes);
    const metadata = await readGgufEntries(cursor, entryCount);
    const alignment = readAlignment(metadata);
    const tensors = await readTensorInfos(cursor, tensorCount, alignment, source.size);
    const find = (name: string): GgufTensorInfo => {
      const found = tensors.get(name);
      if (found === undefined)
        throw new FormatError(`there is no tensor "${name}"`, { path: source.name });
      return found;
    };
    const readTensor = async (name: string): Promise<Uint8Array<ArrayBuffer>> => {
      const { offset, byteLength } = find(name);
      return source.read(offset, byteLength);
    };
    const readFloats = async (name: string): Promise<Float32Array<ArrayBuffer>> => {
      const { type, elementCount } = find(name);
      if (elementCount * 4 > maxTensorBytes)
        throw new FormatError(`the tensor "${name}" is too large`, { path: source.name });
      return dequantise(type, await readTensor(name));
    };
    const readRows = async (
      name: string,
      from: number,
      count: number,
    ): Promise<Float32Array<ArrayBuffer>> => {
      const { type, shape, offset, byteLength } = find(name);
      // Rows are whole numbers of blocks.
      const rowBytes = byteLength / (shape[0] ?? 1);
      return dequantise(type, await source.read(offset + from * rowBytes, count * rowBytes));
    };
    return { version, alignment, metadata, tensors, readTensor, readFloats, readRows };
  });
}
