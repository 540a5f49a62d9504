// A prefix that is taken off once, however the text is cut.
import { describe, expect, it } from 'vitest';
import { createPrefixFilter } from './prefix-filter.ts';

const run = (prefix: string, chunks: string[]): string => {
  const filter = createPrefixFilter(prefix);
  return chunks.map((chunk) => filter.push(chunk)).join('');
};

describe('createPrefixFilter', () => {
  it.each([
    [' ', [' Hello'], 'Hello'],
    [' ', [' ', ' Hello'], ' Hello'],
    [' ', ['Hello', ' you'], 'Hello you'],
    ['\n\n', ['\n', '\nHello'], 'Hello'],
    ['\n\n', ['\n', 'Hello'], '\nHello'],
    ['', [' Hello'], ' Hello'],
  ])('takes %j off %j', (prefix, chunks, expected) => {
    expect(run(prefix, chunks)).toBe(expected);
  });
});
