// Levels, scales and offsets against the dequantised numbers, which llama.cpp's own are held to elsewhere.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { blockLevels, isLeveled, leveledTypes, type LeveledType } from './block-levels.ts';
import { dequantise } from './dequantise.ts';
import { tensorTypes } from './tensor-types.ts';

const types = Object.keys(leveledTypes) as LeveledType[];

/** Blocks of random bytes whose float16 scales are finite. */
const blocksOf = (type: LeveledType) => {
  const { blockBytes } = tensorTypes[type];
  const scaleAt: Record<LeveledType, readonly number[]> = {
    Q4_0: [0],
    Q4_1: [0, 2],
    Q5_0: [0],
    Q5_1: [0, 2],
    Q8_0: [0],
    Q4_K: [0, 2],
    Q5_K: [0, 2],
    Q6_K: [208],
  };
  return fc.uint8Array({ minLength: 3 * blockBytes, maxLength: 3 * blockBytes }).map((bytes) => {
    for (let block = 0; block < 3; block++) {
      // Exponents below 31 are finite.
      for (const at of scaleAt[type]) {
        const high = block * blockBytes + at + 1;
        bytes[high] = (bytes[high] ?? 0) & 0xbb;
      }
    }
    return bytes;
  });
};

/** Of zeros. */
const unsigned = (value: number): number => value + 0;

describe('blockLevels', () => {
  it.each(types)('%s: multiplied out gives the dequantised numbers', (type) => {
    const { bits, zero } = leveledTypes[type];
    fc.assert(
      fc.property(blocksOf(type), (bytes) => {
        const { blockSize, levels, scales, offsets } = blockLevels(type, bytes);
        const whole = Float32Array.from(levels, (level, i) => {
          const block = Math.floor(i / blockSize);
          return (level - zero) * (scales[block] ?? 0) + (offsets?.[block] ?? 0);
        });
        expect(whole.map(unsigned)).toEqual(dequantise(type, bytes).map(unsigned));
        expect(levels.every((level) => bits === 8 || level >> 4 === 0)).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  it('refuses a part of a block', () => {
    expect(() => blockLevels('Q4_0', new Uint8Array(19))).toThrow('no whole number of Q4_0 blocks');
  });

  it('knows which types have levels', () => {
    expect(types.every(isLeveled)).toBe(true);
    expect(isLeveled('F16')).toBe(false);
  });
});
