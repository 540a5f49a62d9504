// ggml's quantised blocks taken apart instead of multiplied out: small integers, and one scale (and offset)
// for each block of columns, so that a trainer can keep them small and multiply later. What
// levels · scale + offset gives is what dequantise.ts gives. Callers have checked the lengths, hence
// `as number`. Layouts: ggml-common.h of the pinned llama.cpp release.
import { subMin, subScale } from './dequantise-k.ts';
import { halfTable } from './float16.ts';
import { FormatError } from './format-error.ts';
import { tensorTypes, type TensorType } from './tensor-types.ts';

/** Row-major; one scale for each `blockSize` levels. */
export interface BlockLevels {
  readonly blockSize: number;
  /** 4-bit types: 0 to 15, of which `zero` is taken before scaling. Others are signed and zero is 0. */
  readonly levels: Int8Array;
  readonly scales: Float32Array;
  /** Null where the type has none. */
  readonly offsets: Float32Array | null;
}

export interface LevelsInfo {
  readonly bits: 4 | 8;
  /** Of one scale. */
  readonly blockSize: 16 | 32;
  readonly zero: 0 | 8;
  readonly hasOffset: boolean;
}

const info = (
  bits: LevelsInfo['bits'],
  { blockSize = 32, zero = 0, hasOffset = false }: Partial<LevelsInfo> = {},
): LevelsInfo => ({ bits, blockSize, zero, hasOffset });

/** The types whose numbers are levels, scales and offsets of small blocks. */
export const leveledTypes = {
  Q4_0: info(4, { zero: 8 }),
  Q4_1: info(4, { hasOffset: true }),
  Q5_0: info(8),
  Q5_1: info(8, { hasOffset: true }),
  Q8_0: info(8),
  Q4_K: info(4, { hasOffset: true }),
  Q5_K: info(8, { hasOffset: true }),
  Q6_K: info(8, { blockSize: 16 }),
} as const satisfies Partial<Record<TensorType, LevelsInfo>>;

export type LeveledType = keyof typeof leveledTypes;

export const isLeveled = (type: string): type is LeveledType => type in leveledTypes;

interface Out {
  readonly levels: Int8Array;
  readonly scales: Float32Array;
  readonly offsets: Float32Array;
}

/** Takes one block apart: bytes from `at`, levels to `o`, scales to `s`. */
type TakeApart = (
  bytes: Uint8Array,
  out: Out,
  place: { readonly at: number; readonly o: number; readonly s: number },
) => void;

const half = (bytes: Uint8Array, at: number): number =>
  halfTable[(bytes[at] as number) | ((bytes[at + 1] as number) << 8)] as number;

/** Sixteen bytes of two nibbles: low halves first. */
const nibbles = (bytes: Uint8Array, at: number, { levels }: Out, o: number): void => {
  for (let j = 0; j < 16; j++) {
    const q = bytes[at + j] as number;
    levels[o + j] = q & 15;
    levels[o + j + 16] = q >> 4;
  }
};

/** Adds the fifth bits of 32 levels and takes `zero` off. */
const fifthBits = (
  bytes: Uint8Array,
  at: number,
  { levels }: Out,
  { o, zero }: { readonly o: number; readonly zero: number },
): void => {
  for (let j = 0; j < 32; j++) {
    const bit = ((bytes[at + (j >> 3)] as number) >> (j & 7)) & 1;
    levels[o + j] = (levels[o + j] as number) + 16 * bit - zero;
  }
};

/** The eight scales and minimums of Q4_K and Q5_K. */
const subBlocks = (bytes: Uint8Array, at: number, { scales, offsets }: Out, s: number): void => {
  const d = half(bytes, at);
  const dmin = half(bytes, at + 2);
  for (let j = 0; j < 8; j++) {
    scales[s + j] = d * subScale(bytes, at + 4, j);
    offsets[s + j] = -dmin * subMin(bytes, at + 4, j);
  }
};

const takeApart: Record<LeveledType, TakeApart> = {
  Q4_0: (bytes, out, { at, o, s }) => {
    out.scales[s] = half(bytes, at);
    nibbles(bytes, at + 2, out, o);
  },
  Q4_1: (bytes, out, { at, o, s }) => {
    out.scales[s] = half(bytes, at);
    out.offsets[s] = half(bytes, at + 2);
    nibbles(bytes, at + 4, out, o);
  },
  Q5_0: (bytes, out, { at, o, s }) => {
    out.scales[s] = half(bytes, at);
    nibbles(bytes, at + 6, out, o);
    fifthBits(bytes, at + 2, out, { o, zero: 16 });
  },
  Q5_1: (bytes, out, { at, o, s }) => {
    out.scales[s] = half(bytes, at);
    out.offsets[s] = half(bytes, at + 2);
    nibbles(bytes, at + 8, out, o);
    fifthBits(bytes, at + 4, out, { o, zero: 0 });
  },
  Q8_0: (bytes, { levels, scales }, { at, o, s }) => {
    scales[s] = half(bytes, at);
    for (let j = 0; j < 32; j++) levels[o + j] = bytes[at + 2 + j] as number;
  },
  Q4_K: (bytes, out, { at, o, s }) => {
    subBlocks(bytes, at, out, s);
    for (let pair = 0; pair < 4; pair++) {
      for (let l = 0; l < 32; l++) {
        const q = bytes[at + 16 + 32 * pair + l] as number;
        out.levels[o + 64 * pair + l] = q & 15;
        out.levels[o + 64 * pair + 32 + l] = q >> 4;
      }
    }
  },
  Q5_K: (bytes, out, { at, o, s }) => {
    subBlocks(bytes, at, out, s);
    for (let pair = 0; pair < 4; pair++) {
      for (let l = 0; l < 32; l++) {
        const q = bytes[at + 48 + 32 * pair + l] as number;
        const high = (bytes[at + 16 + l] as number) >> (2 * pair);
        out.levels[o + 64 * pair + l] = (q & 15) | ((high & 1) << 4);
        out.levels[o + 64 * pair + 32 + l] = (q >> 4) | ((high & 2) << 3);
      }
    }
  },
  Q6_K: (bytes, { levels, scales }, { at, o, s }) => {
    const d = half(bytes, at + 208);
    for (let j = 0; j < 16; j++)
      scales[s + j] = d * (((bytes[at + 192 + j] as number) << 24) >> 24);
    for (let n = 0; n < 2; n++) {
      for (let l = 0; l < 32; l++) {
        const a = bytes[at + 64 * n + l] as number;
        const b = bytes[at + 64 * n + l + 32] as number;
        const h = bytes[at + 128 + 32 * n + l] as number;
        const to = o + 128 * n + l;
        levels[to] = ((a & 15) | ((h & 3) << 4)) - 32;
        levels[to + 32] = ((b & 15) | ((h & 12) << 2)) - 32;
        levels[to + 64] = ((a >> 4) | (h & 48)) - 32;
        levels[to + 96] = ((b >> 4) | ((h & 192) >> 2)) - 32;
      }
    }
  },
};

/** `bytes` are whole blocks of `type`. FormatError when they are not. */
export function blockLevels(type: LeveledType, bytes: Uint8Array): BlockLevels {
  const { blockSize: stride, blockBytes } = tensorTypes[type];
  const { blockSize, hasOffset } = leveledTypes[type];
  const blocks = bytes.byteLength / blockBytes;
  if (!Number.isInteger(blocks))
    throw new FormatError(`${bytes.byteLength} bytes are no whole number of ${type} blocks`);
  const count = blocks * stride;
  const out: Out = {
    levels: new Int8Array(count),
    scales: new Float32Array(count / blockSize),
    offsets: new Float32Array(hasOffset ? count / blockSize : 0),
  };
  for (let i = 0; i < blocks; i++) {
    const place = { at: i * blockBytes, o: i * stride, s: i * (stride / blockSize) };
    takeApart[type](bytes, out, place);
  }
  return { blockSize, ...out, offsets: hasOffset ? out.offsets : null };
}
