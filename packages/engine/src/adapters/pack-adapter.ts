// An adapter's weights in the bytes of a stack, with alpha and rank folded in, so that filling a slot is
// copying. `int8` of B has one scale for all (stack-formats.ts), so each of its columns is brought to a maximum
// of 1 and what that takes away is put into A's row: B·A stays, and no adapter rounds another's. Knows no
// file and no stack.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { FormatError } from '@corral/formats';
import { stackFormats, unitScale } from '../llama-cpp/stack-formats.ts';
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

// Loops by index below: callbacks and iterators over millions of numbers cost five times as much. Sizes are
// compared as the bits of the floats without the sign, which are in the same order: that is an operation of one
// cycle, and infinity and NaN come out as the largest.

const bitsOf = (values: Float32Array): Int32Array =>
  new Int32Array(values.buffer, values.byteOffset, values.length);
const sizeBits = 0x7f_ff_ff_ff;

/** The integer nearest to a number within ±128; a third of the time of Math.round. */
const nearest = (value: number): number => ((value + 128.5) | 0) - 128;

/** In a stack one NaN would reach every row that is computed beside it. */
function assertFinite(size: number): void {
  if (!(size < Number.POSITIVE_INFINITY))
    throw new FormatError('it has weights that are not finite numbers');
}

/** Largest |B| of each column. */
function columnMaxima({ rank, b }: Weights): Float32Array {
  const maxima = new Float32Array(rank);
  const largest = bitsOf(maxima);
  const bits = bitsOf(b);
  for (let i = 0; i < bits.length; i += rank)
    for (let k = 0; k < rank; k++) {
      const size = (bits[i + k] as number) & sizeBits;
      if (size > (largest[k] as number)) largest[k] = size;
    }
  for (const size of maxima) assertFinite(size);
  return maxima;
}

const q8Width = 32;
/** A float16 scale and 32 bytes: 17 halves. */
const q8Halves = 17;

/** A as Q8_0 into `packed`, row k times `factors[k]`. False when a scale is beyond float16. */
function packRows({ rank, a }: Weights, factors: Float64Array, packed: Uint8Array): boolean {
  const inputs = a.length / rank;
  const scales = new Float16Array(packed.buffer, packed.byteOffset, packed.length / 2);
  const bytes = new Int8Array(packed.buffer, packed.byteOffset, packed.length);
  const bits = bitsOf(a);
  const largest = new Float32Array(1);
  const largestBits = bitsOf(largest);
  for (let k = 0, i = 0, half = 0; k < rank; k++) {
    const factor = (factors[k] as number) / 127;
    for (const end = i + inputs; i < end; i += q8Width, half += q8Halves) {
      let size = 0;
      for (let j = i; j < i + q8Width; j++) size = Math.max(size, (bits[j] as number) & sizeBits);
      largestBits[0] = size;
      const maximum = largest[0] as number;
      assertFinite(maximum);
      const scale = maximum * factor;
      if (scale > maxHalf) return false;
      scales[half] = scale;
      const inverse = size === 0 ? 0 : 127 / maximum;
      const at = 2 * half + 2 - i;
      for (let j = i; j < i + q8Width; j++) bytes[at + j] = nearest((a[j] as number) * inverse);
    }
  }
  return true;
}

/** B in units of its columns' maxima, as signed bytes of `unitScale`, into `packed`. */
function packColumns({ rank, b }: Weights, maxima: Float32Array, packed: Uint8Array): void {
  const inverse = Float64Array.from(maxima, (size) => (size === 0 ? 0 : 1 / (size * unitScale)));
  for (let i = 0; i < b.length; i += rank)
    for (let k = 0; k < rank; k++)
      packed[i + k] = nearest((b[i + k] as number) * (inverse[k] as number));
}

/** Largest |value|, as float32. */
function largestOf(values: Float32Array, factor = 1): number {
  const bits = bitsOf(values);
  let size = 0;
  for (let i = 0; i < bits.length; i++) size = Math.max(size, (bits[i] as number) & sizeBits);
  const [largest = 0] = new Float32Array(new Int32Array([size]).buffer);
  return Math.fround(largest * Math.abs(factor));
}

/** A and factor · B as they are, into arrays of floats. False when one is beyond `limit`. */
function packFloats(
  { a, b }: Weights,
  factor: number,
  { into, limit }: { into: { a: Floats; b: Floats }; limit: number },
): boolean {
  const largest = Math.max(largestOf(a), largestOf(b, factor));
  assertFinite(largest);
  if (largest > limit) return false;
  into.a.set(a);
  for (let i = 0; i < b.length; i++) into.b[i] = Math.fround((b[i] as number) * factor);
  return true;
}

type Floats = Float32Array | Float16Array;

/** Fills the bytes of a part; false when the numbers do not go into the format. */
type Pack = (weights: Weights, scale: number, part: PackedPart) => boolean;

const packers: Record<StackFormat, Pack> = {
  int8: (weights, scale, part) => {
    if ((weights.a.length / weights.rank) % q8Width !== 0) return false;
    const maxima = columnMaxima(weights);
    const factors = Float64Array.from(maxima, (size) => (size * scale) / stackScale.int8);
    if (!packRows(weights, factors, part.a)) return false;
    packColumns(weights, maxima, part.b);
    return true;
  },
  float16: (weights, scale, { a, b }) => {
    const halves = (bytes: Uint8Array): Float16Array =>
      new Float16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
    return packFloats(weights, scale, { into: { a: halves(a), b: halves(b) }, limit: maxHalf });
  },
  float32: (weights, scale, { a, b }) => {
    const singles = (bytes: Uint8Array): Float32Array =>
      new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    const into = { a: singles(a), b: singles(b) };
    return packFloats(weights, scale, { into, limit: Number.POSITIVE_INFINITY });
  },
};

/** Room for all parts in one buffer: hundreds of small ones keep the garbage collector busy. */
function createParts(
  pairs: readonly LoraPair[],
  rank: number,
  format: StackFormat,
): ReadonlyMap<string, PackedPart> {
  const { rowBytes, elementBytes } = stackFormats[format];
  const aligned = (bytes: number): number => Math.ceil(bytes / 8) * 8;
  const places: { target: string; a: number; b: number }[] = pairs.map(
    ({ target, inputs, outputs }) => ({
      target,
      a: rank * Math.floor(rowBytes(inputs)),
      b: rank * outputs * elementBytes,
    }),
  );
  const total = places.reduce((sum, { a, b }) => sum + aligned(a) + aligned(b), 0);
  const buffer = new ArrayBuffer(total);
  let at = 0;
  const take = (bytes: number): Uint8Array => {
    const taken = new Uint8Array(buffer, at, bytes);
    at += aligned(bytes);
    return taken;
  };
  return new Map(places.map(({ target, a, b }) => [target, { a: take(a), b: take(b) }]));
}

/** FormatError when a weight is not finite or too large. */
export async function packAdapter(file: LoraFile, format: StackFormat): Promise<PackedAdapter> {
  const rank = Math.max(...file.pairs.map((pair) => pair.rank));
  const parts = createParts(file.pairs, rank, format);
  let bytes = 0;
  let pause = performance.now() + sliceMs;
  for (const pair of file.pairs) {
    const part = parts.get(pair.target);
    const weights = widen({ rank: pair.rank, ...(await pair.read()) }, rank);
    if (!part || !packers[format](weights, pair.scale, part))
      throw new FormatError(`the weights for "${pair.target}" are out of range`);
    bytes += part.a.byteLength + part.b.byteLength;
    if (performance.now() < pause) continue;
    await nextTurn();
    pause = performance.now() + sliceMs;
  }
  return { format, rank, bytes, parts };
}
