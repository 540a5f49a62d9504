// A LoRA adapter's GGUF, read and checked against the base before anything native could see it: pairs of A
// and B with the base's shapes, finite numbers, and the scale that llama.cpp would apply. Source:
// llama-adapter.cpp (llama_adapter_lora_init_impl, get_scale) of the pinned release.
import { open, stat } from 'node:fs/promises';
import {
  FormatError,
  memorySource,
  metadataNumber,
  metadataString,
  openFileSource,
  readGguf,
  type ByteSource,
  type GgufFile,
} from '@corral/formats';

/** Shape of a matrix of the base. */
interface BaseMatrix {
  readonly outputs: number;
  readonly inputs: number;
}

export interface BaseMatrices {
  readonly architecture: string;
  /** Two-dimensional tensors by name. */
  readonly matrices: ReadonlyMap<string, BaseMatrix>;
  /** The weights are floats, none quantised. */
  readonly exact: boolean;
}

export interface LoraPair {
  /** Name of the base's tensor. */
  readonly target: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly rank: number;
  /** What B·A is multiplied by. */
  readonly scale: number;
  /** A [rank, inputs] and B [outputs, rank], row-major; not to be changed. */
  read(): Promise<{ a: Float32Array; b: Float32Array }>;
}

export interface LoraFile {
  readonly pairs: readonly LoraPair[];
  /** All weights are stored as float16. */
  readonly half: boolean;
  readonly bytes: number;
}

/** A matrix by name, of a base's header. */
export function baseMatrices(file: GgufFile): BaseMatrices {
  const matrices = new Map<string, BaseMatrix>();
  let exact = true;
  for (const { name, shape, type } of file.tensors.values()) {
    const [outputs, inputs] = shape;
    if (shape.length !== 2 || outputs === undefined || inputs === undefined) continue;
    matrices.set(name, { outputs, inputs });
    exact &&= type === 'F32' || type === 'F16' || type === 'BF16';
  }
  const architecture = metadataString(file.metadata, 'general.architecture') ?? '';
  return { architecture, matrices, exact };
}

function checkMetadata({ metadata }: GgufFile, { architecture }: BaseMatrices): void {
  const wanted = [
    ['general.type', 'adapter'],
    ['adapter.type', 'lora'],
    ['general.architecture', architecture],
  ] as const;
  for (const [key, value] of wanted) {
    const found = metadataString(metadata, key);
    if (found !== value)
      throw new FormatError(`"${key}" is "${found ?? ''}"; an adapter of this base has "${value}"`);
  }
}

type ReadFloats = (name: string) => Promise<Float32Array>;

/** Numbers of a tensor, without a copy where they lie in memory as they are used. */
function floatsOf(file: GgufFile, whole: Uint8Array | null): ReadFloats {
  return async (name) => {
    const tensor = file.tensors.get(name);
    if (!whole || tensor?.type !== 'F32') return file.readFloats(name);
    const offset = whole.byteOffset + tensor.offset;
    return offset % 4 === 0
      ? new Float32Array(whole.buffer, offset, tensor.elementCount)
      : file.readFloats(name);
  };
}

interface PairContext {
  readonly file: GgufFile;
  readonly base: BaseMatrices;
  readonly floats: ReadFloats;
}

function readPair(target: string, { file, base, floats }: PairContext): LoraPair {
  const names = [`${target}.lora_a`, `${target}.lora_b`] as const;
  const [a, b] = names.map((name) => file.tensors.get(name)?.shape);
  if (!a || !b) throw new FormatError(`the pair of A and B for "${target}" is not complete`);
  const matrix = base.matrices.get(target);
  if (!matrix) throw new FormatError(`the base has no matrix "${target}"`);
  const [rank = 0] = a;
  const fits = a[1] === matrix.inputs && b[0] === matrix.outputs && b[1] === rank;
  if (!fits || a.length !== 2 || b.length !== 2)
    throw new FormatError(
      `A [${a.join(', ')}] and B [${b.join(', ')}] do not fit "${target}" [${matrix.outputs}, ${matrix.inputs}]`,
    );
  const alpha = metadataNumber(file.metadata, 'adapter.lora.alpha') ?? 0;
  return {
    target,
    ...matrix,
    rank,
    scale: alpha === 0 ? 1 : alpha / rank,
    read: async () => ({ a: await floats(names[0]), b: await floats(names[1]) }),
  };
}

/** Files up to this size are read at once: hundreds of small reads cost more than the bytes. */
const wholeFileBytes = 2 ** 28;

/** Buffers up to this size are kept for the next file. */
const keptBytes = 2 ** 24;

/** Where whole files are read to: a buffer of their size for each costs a garbage collection. */
export interface FileBuffer {
  /** At least so many bytes, of anything; another's only after `giveBack`. */
  take(bytes: number): Uint8Array<ArrayBuffer>;
  giveBack(buffer: Uint8Array<ArrayBuffer>): void;
}

export function createFileBuffer(): FileBuffer {
  let spare: Uint8Array<ArrayBuffer> | null = null;
  return {
    take: (bytes) => {
      const taken = spare && spare.byteLength >= bytes ? spare : new Uint8Array(bytes);
      spare = null;
      return taken;
    },
    giveBack: (buffer) => {
      if (buffer.byteLength <= keptBytes) spare = buffer;
    },
  };
}

interface OpenFile extends AsyncDisposable {
  readonly source: ByteSource;
  /** All bytes, where they are in memory. */
  readonly whole: Uint8Array | null;
}

async function readInto(path: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  await using handle = await open(path, 'r');
  for (let done = 0; done < bytes.byteLength;) {
    const { bytesRead } = await handle.read(bytes, done, bytes.byteLength - done, done);
    if (bytesRead === 0) throw new FormatError('the file was cut while it was read', { path });
    done += bytesRead;
  }
}

async function openFile(path: string, buffer: FileBuffer): Promise<OpenFile> {
  const { size } = await stat(path);
  if (size > wholeFileBytes) {
    const source = await openFileSource(path);
    return { source, whole: null, [Symbol.asyncDispose]: () => source.close() };
  }
  const room = buffer.take(size);
  const giveBack = (): Promise<void> => Promise.resolve(buffer.giveBack(room));
  const whole = room.subarray(0, size);
  try {
    await readInto(path, whole);
  } catch (error) {
    await giveBack();
    throw error;
  }
  return { source: memorySource(whole, path), whole, [Symbol.asyncDispose]: giveBack };
}

/**
 * Reads the header and calls `use` while the weights can be read. Null when the adapter is sound but changes
 * something other than a matrix product (the embedding), which a stack cannot hold. FormatError when it is
 * no adapter of this base. What a pair's `read` gave is valid until `use` has ended.
 */
export async function withLoraFile<Result>(
  path: string,
  base: BaseMatrices,
  use: (file: LoraFile) => Promise<Result>,
  buffer = createFileBuffer(),
): Promise<Result | null> {
  await using opened = await openFile(path, buffer);
  const { source, whole } = opened;
  const file = await readGguf(source);
  checkMetadata(file, base);
  const targets = new Set<string>();
  let half = true;
  let bytes = 0;
  for (const { name, type, byteLength } of file.tensors.values()) {
    const target = /^(.*)\.lora_[ab]$/.exec(name)?.[1];
    // llama.cpp ignores norms and refuses the rest; both are left to it.
    if (target === undefined || target === 'token_embd.weight') return null;
    targets.add(target);
    half &&= type === 'F16';
    bytes += byteLength;
  }
  const context = { file, base, floats: floatsOf(file, whole) };
  const pairs = [...targets].map((target) => readPair(target, context));
  return await use({ pairs, half, bytes });
}
