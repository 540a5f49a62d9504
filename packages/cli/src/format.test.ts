import { describe, expect, it } from 'vitest';
import {
  clip,
  formatBytes,
  formatCount,
  formatFields,
  formatSeconds,
  formatTable,
} from './format.ts';
import { sparkline } from './sparkline.ts';

describe('formatBytes', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 KB'],
    [98_362_432, '98.4 MB'],
    [999_600, '1.0 MB'],
    [151_000_000, '151 MB'],
    [1.3e9, '1.3 GB'],
    [5e15, '5000 TB'],
  ])('%d is %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text));
});

describe('formatSeconds', () => {
  it.each([
    [0, '0.0 s'],
    [-1, '0.0 s'],
    [9.94, '9.9 s'],
    [9.96, '10 s'],
    [59.4, '59 s'],
    [59.6, '1 min 0 s'],
    [75, '1 min 15 s'],
    [3720, '1 h 2 min'],
    [Number.NaN, '?'],
  ])('%d is %s', (seconds, text) => expect(formatSeconds(seconds)).toBe(text));
});

describe('text', () => {
  it('sets thousands apart', () => {
    expect(formatCount(1_234_567)).toBe('1\u202f234\u202f567');
    expect(formatCount(999)).toBe('999');
  });

  it('marks a cut', () => {
    expect(clip('abcdef', 4)).toBe('abc…');
    expect(clip('abcd', 4)).toBe('abcd');
    expect(clip('abcd', 0)).toBe('…');
  });

  it('aligns columns and shows what is absent', () => {
    expect(
      formatTable(
        ['A', 'LONG'],
        [
          ['x', null],
          ['yyy', 2],
        ],
      ),
    ).toBe('A    LONG\nx    –\nyyy  2');
  });

  it('aligns fields', () => {
    expect(
      formatFields([
        ['a', '1'],
        ['long', '2'],
      ]),
    ).toBe('a     1\nlong  2');
  });
});

describe('sparkline', () => {
  it('goes from the largest to the smallest value', () => {
    expect(sparkline([3, 2, 1], 10)).toBe('█▅▁');
  });
  it('takes means when there are more values than columns', () => {
    expect(sparkline([8, 8, 0, 0], 2)).toBe('█▁');
  });
  it('draws no curve of nothing, and a flat one of equal values', () => {
    expect(sparkline([], 5)).toBe('');
    expect(sparkline([1, 1], 5)).toBe('▁▁');
  });
});
