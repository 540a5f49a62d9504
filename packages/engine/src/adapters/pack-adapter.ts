// An adapter's weights in the bytes of a stack, with alpha and rank folded in, so that filling a slot is
// copying. `int8` of B has one scale for all (stack-formats.ts), so each of its columns is brought to a maximum
// of 1 and what that takes away is put into A's row: B·A stays, and no adapter rounds another's. Knows no
// file and no stack.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { FormatError } from '@corral/formats';
import { unitScale } from '../llama-cpp/stack-formats.ts';
import type { PackedAdapter, PackedPart, StackFormat } from '../llama-cpp/stack-types.ts';
import type { LoraFile, LoraPair } from './lora-file.ts';

/**
 * llama.cpp multiplies what a stack adds by this, and A is larger by as much: A's rows carry the magnitude of
 * B, and without it their float16 scales would fall below 6e-5, where float16 loses digits.
 */
export const stackScale: Record<StackFormat, number> = {
  int8: 2 ** -12,
  float16: 1,
  float32: 1,
};

const maxHalf = 65_504;
/** Packing gives way to the decode loop about this often. */
const sliceMs = 15;

/** Weights of one target: A [rank, inputs] and B [outputs, rank], row-major. */
interface Weights {
  readonly rank: number;
  readonly a: Float32Array;
  readonly b: Float32Array;
}

/** The same product with ranks added that do nothing. */
function widen({ rank, a, b }: Weights, wanted: number): Weights {
  if (rank === wanted) return { rank, a, b };
  const outputs = b.length / rank;
  const wideA = new Float32Array((a.length / rank) * wanted);
  wideA.set(a);
  const wideB = new Float32Array(outputs * wanted);
  for (let row = 0; row < outputs; row++)
    wideB.set(b.subarray(row * rank, (row + 1) * rank), row * wanted);
  return { rank: wanted, a: wideA, b: wideB };
}

// Loops by index below: callbacks and iterators over millions of numbers cost five times as much.

/** The integer nearest to a number within ±128; a third of the time of Math.round. */
const nearest = (value: number): number => ((value + 128.5) | 0) - 128;

/** In a stack one NaN would reach every row that is computed beside it. */
function assertFinite(sum: number): void {
  if (!(sum < Number.POSITIVE_INFINITY))
    throw new FormatError('it has weights that are not finite numbers');
}

/** Largest |B| of each column. */
function columnMaxima({ rank, b }: Weights): Float32Array {
  const maxima = new Float32Array(rank);
  let sum = 0;
  for (let i = 0; i < b.length; i += rank)
    for (let k = 0; k < rank; k++) {
      const size = Math.abs(b[i + k] as number);
      sum += size;
      if (size > (maxima[k] as number)) maxima[k] = size;
    }
  assertFinite(sum);
  return maxima;
}

const q8Width = 32;
/** A float16 scale and 32 bytes: 17 halves. */
const q8Halves = 17;

/** A as Q8_0, row k times `factors[k]`. Null when a scale is beyond float16. */
function packRows({ rank, a }: Weights, factors: ArrayLike<number>): Uint8Array | null {
  const inputs = a.length / rank;
  if (inputs % q8Width !== 0) return null;
  const packed = new Uint8Array((a.length / q8Width) * q8Halves * 2);
  const scales = new Float16Array(packed.buffer);
  const bytes = new Int8Array(packed.buffer);
  let sum = 0;
  for (let i = 0, half = 0; i < a.length; i += q8Width, half += q8Halves) {
    let largest = 0;
    for (let j = i; j < i + q8Width; j++) {
      const size = Math.abs(a[j] as number);
      sum += size;
      if (size > largest) largest = size;
    }
    const scale = (largest * (factors[Math.floor(i / inputs)] as number)) / 127;
    if (scale > maxHalf) return null;
    scales[half] = scale;
    const inverse = largest === 0 ? 0 : 127 / largest;
    for (let j = i, at = 2 * half + 2; j < i + q8Width; j++, at++)
      bytes[at] = nearest((a[j] as number) * inverse);
  }
  assertFinite(sum);
  return packed;
}

/** B in units of its columns' maxima, as signed bytes of `unitScale`. */
function packColumns({ rank, b }: Weights, maxima: Float32Array): Uint8Array {
  const inverse = Float64Array.from(maxima, (size) => (size === 0 ? 0 : 1 / (size * unitScale)));
  const bytes = new Int8Array(b.length);
  for (let i = 0; i < b.length; i += rank)
    for (let k = 0; k < rank; k++)
      bytes[i + k] = nearest((b[i + k] as number) * (inverse[k] as number));
  return new Uint8Array(bytes.buffer);
}

function largestOf(values: Float32Array): number {
  let largest = 0;
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i] as number);
    sum += size;
    if (size > largest) largest = size;
  }
  assertFinite(sum);
  return largest;
}

function times(values: Float32Array, factor: number): Float32Array {
  const scaled = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) scaled[i] = (values[i] as number) * factor;
  return scaled;
}

/** Bytes of their own, whatever the numbers were a view of. */
const bytesOf = (values: Float32Array | Float16Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice();

/** Null when the numbers do not go into the format. */
const packers: Record<StackFormat, (weights: Weights, scale: number) => PackedPart | null> = {
  int8: (weights, scale) => {
    const maxima = columnMaxima(weights);
    const factors = Float64Array.from(maxima, (size) => (size * scale) / stackScale.int8);
    const rows = packRows(weights, factors);
    return rows && { a: rows, b: packColumns(weights, maxima) };
  },
  float16: ({ a, b }, scale) => {
    const scaled = times(b, scale);
    if (Math.max(largestOf(a), largestOf(scaled)) > maxHalf) return null;
    return { a: bytesOf(new Float16Array(a)), b: bytesOf(new Float16Array(scaled)) };
  },
  float32: ({ a, b }, scale) => {
    const scaled = times(b, scale);
    assertFinite(largestOf(a) + largestOf(scaled));
    return { a: bytesOf(a), b: bytesOf(scaled) };
  },
};

async function packPair(pair: LoraPair, rank: number, format: StackFormat): Promise<PackedPart> {
  const weights = widen({ rank: pair.rank, ...(await pair.read()) }, rank);
  const part = packers[format](weights, pair.scale);
  if (!part) throw new FormatError(`the weights for "${pair.target}" are out of range`);
  return part;
}

/** FormatError when a weight is not finite or too large. */
export async function packAdapter(file: LoraFile, format: StackFormat): Promise<PackedAdapter> {
  const rank = Math.max(...file.pairs.map((pair) => pair.rank));
  const parts = new Map<string, PackedPart>();
  let bytes = 0;
  let pause = performance.now() + sliceMs;
  for (const pair of file.pairs) {
    const part = await packPair(pair, rank, format);
    parts.set(pair.target, part);
    bytes += part.a.byteLength + part.b.byteLength;
    if (performance.now() < pause) continue;
    await nextTurn();
    pause = performance.now() + sliceMs;
  }
  return { format, rank, bytes, parts };
}
