// The vocabulary joins what stands together most often, never across words, and always in the same order.
import { expect, test } from 'vitest';
import { byteAlphabet, trainMerges } from './byte-pair-training.ts';

test('the alphabet has a letter of its own for each byte', () => {
  expect(new Set(byteAlphabet).size).toBe(256);
  expect([byteAlphabet[65], byteAlphabet[32], byteAlphabet[10]]).toEqual(['A', 'Ġ', 'Ċ']);
});

test('the most frequent pair is joined first, of equals the one that sorts first', () => {
  expect(trainMerges('low low low lower newest newest', 3)).toEqual(['l o', 'lo w', 'Ġ low']);
});

test('pairs that stand once, digits and pairs across words are not joined', () => {
  expect(trainMerges('ab', 10)).toEqual([]);
  expect(trainMerges('12 12 12 12', 10)).toEqual([]);
  expect(trainMerges('a-b a-b a-b', 10).some((merge) => /a.*-|-.*b/.test(merge))).toBe(false);
});
