// Which weight formats the engine reads fast, and what the others become for serving.
import type { ServingForm } from '@corral/contracts';
import type { GgufFile, TensorType } from '@corral/formats';

/**
 * Without a fast kernel in the pinned llama.cpp release: neither repacked at load nor in its tiled matrix
 * multiplication, so prompts run at half the speed of Q8_0 or less (measured: Q4_1 255 against Q8_0 577
 * tokens/s). Q8_0 holds 4- and 5-bit values with no visible loss; the parity check covers it.
 */
const slow: ReadonlySet<string> = new Set(['Q4_1', 'Q5_0', 'Q5_1']);

/**
 * Bits a weight of a whole file, for the room on disk. The plain forms follow from ggml's blocks; the mixtures
 * keep some tensors larger, and their figures are those that llama.cpp's README of `quantize` lists, rounded up.
 */
const bitsPerWeight: Record<ServingForm, number> = {
  f32: 32,
  f16: 16,
  bf16: 16,
  q8_0: 8.5,
  q6_k: 6.6,
  q5_k_m: 5.7,
  q4_k_m: 4.9,
  q4_1: 5.1,
  q4_0: 4.7,
};

/** The type that holds most of the weights of the matrices. */
export function weightFormat(file: Pick<GgufFile, 'tensors'>): TensorType {
  const weights = new Map<TensorType, number>();
  for (const { type, shape, elementCount } of file.tensors.values()) {
    if (shape.length >= 2) weights.set(type, (weights.get(type) ?? 0) + elementCount);
  }
  const [most] = [...weights].toSorted((a, b) => b[1] - a[1]);
  return most?.[0] ?? 'F32';
}

/**
 * What weights become for serving; null: they are served as they came. The engine reads GGUF only, so a
 * folder becomes one: Q8_0 by default, half the size of what it was and twice as fast.
 */
export function servingFormOf(
  { kind, format }: { readonly kind: 'gguf' | 'folder'; readonly format: string },
  wanted: ServingForm | undefined,
): ServingForm | null {
  if (kind === 'gguf' && wanted?.toUpperCase() === format) return null;
  if (wanted !== undefined) return wanted;
  return kind === 'folder' || slow.has(format) ? 'q8_0' : null;
}

/** Bytes of a GGUF of so many weights. */
export const servingBytes = (parameters: number, form: ServingForm): number =>
  Math.ceil((parameters * bitsPerWeight[form]) / 8);

/** Null when the engine can serve the model; else why not, and what to do. */
export const unservableReason = (row: { readonly serving_path: string | null }): string | null =>
  row.serving_path === null
    ? 'it has no GGUF file to serve: remove it and import or pull it again, and one is made'
    : null;

/** The same as a sentence, for a person who has just got the model. */
export const servingNote = (row: { readonly serving_path: string | null }): string | null => {
  const reason = unservableReason(row);
  return reason === null ? null : `Not for serving: ${reason}.`;
};

/** Formats whose numbers are those that were trained on: a parity check can ask for more. */
export const isFullPrecision = (format: string): boolean => ['F32', 'F16', 'BF16'].includes(format);
