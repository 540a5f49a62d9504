// Blocks of a file as the graphs take them: levels in one array, scales in another, offsets in a third, so
// that a few element-wise kernels undo them. Nothing is rounded on the way. Two levels of 4 bits share a
// byte: column j of the first half of a row with column j of the second.
import {
  blockLevels,
  isLeveled,
  leveledTypes,
  quantise,
  type BlockLevels,
  type LeveledType,
} from '@corral/formats';
import type { BlockForm } from './weight-form.ts';

/** The arrays of a form, in its order, from the first row to be filled on. */
export interface BlockArrays {
  readonly levels: Uint8Array | Int8Array;
  readonly scales: Float32Array;
  /** Empty without offsets. */
  readonly offsets: Float32Array;
}

/** What is kept of numbers that the file does not have in small blocks: 8 bits, whose error is small. */
const typeOfFloats = 'Q8_0';

const typeKept = (storedAs: string): LeveledType => (isLeveled(storedAs) ? storedAs : typeOfFloats);

/** The narrowest form that holds tensors of all these types exactly; float types are held as Q8_0. */
export const blockFormOf = (storedTypes: readonly string[]): BlockForm => {
  const infos = storedTypes.map((type) => leveledTypes[typeKept(type)]);
  const bits = infos.every((info) => info.bits === 4) ? 4 : 8;
  const hasOffset = infos.some((info) => info.hasOffset);
  return {
    kind: 'blocks',
    bits,
    blockSize: Math.min(...infos.map((info) => info.blockSize)),
    zero: bits === 4 && !hasOffset ? 8 : 0,
    hasOffset,
  };
};

/** A tensor of the file, taken apart. */
export interface BlockSource {
  readonly type: LeveledType;
  readonly parts: BlockLevels;
}

export const takeBlocksApart = (type: LeveledType, bytes: Uint8Array): BlockSource => ({
  type,
  parts: blockLevels(type, bytes),
});

/** Numbers that are rounded to Q4_0 or Q8_0, as the form has 4 or 8 bits. */
export const blocksOfFloats = (values: Float32Array, { bits }: BlockForm): BlockSource => {
  const type = bits === 4 ? 'Q4_0' : typeOfFloats;
  return takeBlocksApart(type, quantise(type, values));
};

const packPairs = (from: Int8Array, packed: Uint8Array, columns: number): void => {
  const half = columns / 2;
  for (let start = 0, to = 0; start < from.length; start += columns) {
    for (let j = start; j < start + half; j++, to++) {
      packed[to] = (from[j] ?? 0) | ((from[j + half] ?? 0) << 4);
    }
  }
};

/** Scales and offsets in blocks of the form's size, of which a block of the file may be several. */
const spreadScales = (
  { blockSize, scales, offsets }: BlockLevels,
  out: BlockArrays,
  { form, zero }: { readonly form: BlockForm; readonly zero: number },
): void => {
  const times = blockSize / form.blockSize;
  for (const [block, scale] of scales.entries()) {
    out.scales.fill(scale, block * times, (block + 1) * times);
    if (!form.hasOffset) continue;
    out.offsets.fill((offsets?.[block] ?? 0) - zero * scale, block * times, (block + 1) * times);
  }
};

/** Fills whole rows. */
export const fillBlocks = (
  { type, parts }: BlockSource,
  out: BlockArrays,
  { form, columns }: { readonly form: BlockForm; readonly columns: number },
): void => {
  const { zero } = leveledTypes[type];
  if (form.bits === 4) {
    packPairs(parts.levels, out.levels as Uint8Array, columns);
    spreadScales(parts, out, { form, zero: zero - form.zero });
    return;
  }
  out.levels.set(zero === 0 ? parts.levels : parts.levels.map((level) => level - zero));
  spreadScales(parts, out, { form, zero: 0 });
};

/** One row [K] as numbers, as the graphs see it. */
export const readBlockRow = (
  { levels, scales, offsets }: BlockArrays,
  row: number,
  { form, columns }: { readonly form: BlockForm; readonly columns: number },
): Float32Array => {
  const values = new Float32Array(columns);
  const half = columns / 2;
  for (let j = 0; j < columns; j++) {
    const byte = levels[row * half + (j % half)] ?? 0;
    const level =
      form.bits === 8 ? (levels[row * columns + j] ?? 0) : j < half ? byte & 15 : byte >> 4;
    const block = Math.floor((row * columns + j) / form.blockSize);
    values[j] = (level - form.zero) * (scales[block] ?? 0) + (offsets[block] ?? 0);
  }
  return values;
};
