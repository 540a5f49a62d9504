// A LoRA adapter's GGUF, read and checked against the base before anything native could see it: pairs of A
// and B with the base's shapes, finite numbers, and the scale that llama.cpp would apply. Source:
// llama-adapter.cpp (llama_adapter_lora_init_impl, get_scale) of the pinned release.
import { readFile, stat } from 'node:fs/promises';
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
  readonly rank: number;
  /** What B·A is multiplied by. */
  readonly scale: number;
  /** A [rank, inputs] and B [outputs, rank], row-major. FormatError when a number is not finite. */
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

function assertFinite(name: string, values: Float32Array): void {
  // In a stack one NaN would reach every row that is computed beside it.
  let rest = 0;
  for (let i = 0; i < values.length; i++) rest += (values[i] as number) - (values[i] as number);
  if (rest !== 0) throw new FormatError(`"${name}" has numbers that are not finite`);
}

function readPair(file: GgufFile, target: string, base: BaseMatrices): LoraPair {
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
    rank,
    scale: alpha === 0 ? 1 : alpha / rank,
    read: async () => {
      const [aValues, bValues] = [await file.readFloats(names[0]), await file.readFloats(names[1])];
      assertFinite(names[0], aValues);
      assertFinite(names[1], bValues);
      return { a: aValues, b: bValues };
    },
  };
}

/** Files up to this size are read at once: hundreds of small reads cost more than the bytes. */
const wholeFileBytes = 2 ** 28;

async function openSource(path: string): Promise<ByteSource & Partial<AsyncDisposable>> {
  const { size } = await stat(path);
  return size <= wholeFileBytes ? memorySource(await readFile(path)) : openFileSource(path);
}

/**
 * Reads the header and calls `use` while the weights can be read. Null when the adapter is sound but changes
 * something other than a matrix product (the embedding), which a stack cannot hold. FormatError when it is
 * no adapter of this base.
 */
export async function withLoraFile<Result>(
  path: string,
  base: BaseMatrices,
  use: (file: LoraFile) => Promise<Result>,
): Promise<Result | null> {
  const source = await openSource(path);
  try {
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
    const pairs = [...targets].map((target) => readPair(file, target, base));
    return await use({ pairs, half, bytes });
  } finally {
    await source[Symbol.asyncDispose]?.();
  }
}
