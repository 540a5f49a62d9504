// The weights of whatever model is open as a Hugging Face folder's: safetensors in 16 or 32 bits, one file or
// shards, read and written some rows at a time. The small files beside them are the caller's.
import { expectedTensors } from './expected-tensors.ts';
import { FormatError } from './format-error.ts';
import type { ModelWeights } from './model-weights.ts';
import { quantise } from './quantise.ts';
import { rowBlocks } from './row-blocks.ts';
import { writeSafetensorsFolder } from './safetensors-shards.ts';

/** Names of safetensors and of ggml at once. */
export type FolderDtype = 'F32' | 'F16' | 'BF16';

export interface WriteFolderOptions {
  readonly dtype: FolderDtype;
  /** Bytes; default: 5 GB. */
  readonly shardBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Weights written so far, and in all. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Of float16; of the other two it is far beyond any weight. */
const largestHalf = 65_504;

/** FormatError for values that `dtype` cannot hold. */
function encode(name: string, values: Float32Array, dtype: FolderDtype): Uint8Array {
  const limit = dtype === 'F16' ? largestHalf : Number.MAX_VALUE;
  for (let i = 0; i < values.length; i++)
    if (!(Math.abs(values[i] as number) <= limit))
      throw new FormatError(
        Number.isFinite(values[i])
          ? `"${name}" holds ${values[i]}, which is too large for float16; write bfloat16 or float32`
          : `"${name}" holds values that are not finite`,
      );
  return quantise(dtype, values);
}

/**
 * Writes model.safetensors, or shards and their index, into `folder`. Needs memory for a block of rows, in
 * float32 and as stored. FormatError for numbers that are not finite or that `dtype` cannot hold.
 */
export async function writeWeightsFolder(
  weights: Pick<ModelWeights, 'config' | 'readFloats' | 'readRows'>,
  folder: string,
  { dtype, shardBytes, signal, onProgress }: WriteFolderOptions,
): Promise<void> {
  const { config } = weights;
  const expected = [...expectedTensors(config)];
  const total = expected.reduce((sum, [, shape]) => sum + shape.reduce((a, b) => a * b, 1), 0);
  let done = 0;
  const pieceOf = (name: string, values: Float32Array): Uint8Array => {
    signal?.throwIfAborted();
    onProgress?.(done, total);
    done += values.length;
    return encode(name, values, dtype);
  };
  async function* piecesOf(name: string, shape: readonly number[]): AsyncGenerator<Uint8Array> {
    if (shape.length !== 2) yield pieceOf(name, await weights.readFloats(name));
    else
      for (const { from, count } of rowBlocks(shape, { align: config.head_dim }))
        yield pieceOf(name, await weights.readRows(name, from, count));
  }
  const tensors = expected.map(([name, shape]) => ({
    name,
    dtype,
    shape,
    data: () => piecesOf(name, shape),
  }));
  await writeSafetensorsFolder(
    folder,
    { metadata: new Map([['format', 'pt']]), tensors },
    shardBytes === undefined ? {} : { shardBytes },
  );
  onProgress?.(total, total);
}
