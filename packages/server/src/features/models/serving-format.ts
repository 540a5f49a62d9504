// Which weight formats the engine reads fast, and what the others become for serving.
import type { GgufFile, TensorType } from '@corral/formats';

/**
 * Without a fast kernel in the pinned llama.cpp release: neither repacked at load nor in its tiled matrix
 * multiplication, so prompts run at half the speed of Q8_0 or less (measured: Q4_1 255 against Q8_0 577
 * tokens/s). Q8_0 holds 4- and 5-bit values with no visible loss; the parity check covers it.
 */
const slow: ReadonlySet<TensorType> = new Set(['Q4_1', 'Q5_0', 'Q5_1']);

/** 32 weights and a 2-byte scale. */
const q8BytesPerWeight = 34 / 32;

/** The type that holds most of the weights of the matrices. */
export function weightFormat(file: Pick<GgufFile, 'tensors'>): TensorType {
  const weights = new Map<TensorType, number>();
  for (const { type, shape, elementCount } of file.tensors.values()) {
    if (shape.length >= 2) weights.set(type, (weights.get(type) ?? 0) + elementCount);
  }
  const [most] = [...weights].toSorted((a, b) => b[1] - a[1]);
  return most?.[0] ?? 'F32';
}

/** Null: served as it is. */
export const requantiseTo = (format: TensorType): 'Q8_0' | null =>
  slow.has(format) ? 'Q8_0' : null;

/** Null when the engine can serve the model; else why not, and what to do. */
export const unservableReason = (row: { readonly serving_path: string | null }): string | null =>
  row.serving_path === null
    ? 'it is a folder of safetensors, and serving needs GGUF: convert it to a GGUF file and import that ("corral models import FILE.gguf --id NAME"); "corral train" takes the folder as it is'
    : null;

/** The same as a sentence, for a person who has just got the model. */
export const servingNote = (row: { readonly serving_path: string | null }): string | null => {
  const reason = unservableReason(row);
  return reason === null ? null : `Not for serving: ${reason}.`;
};

export const q8Bytes = (parameters: number): number => Math.ceil(parameters * q8BytesPerWeight);

/** Formats whose numbers are those that were trained on: a parity check can ask for more. */
export const isFullPrecision = (format: string): boolean => ['F32', 'F16', 'BF16'].includes(format);
