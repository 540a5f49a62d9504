import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { byteLevelTokenizer, sentencePieceTokenizer } from './tokenizer.fake.ts';

const bytes = byteLevelTokenizer();
const pieces = sentencePieceTokenizer();
const plain = { special: false, first: false };

describe('a text tokenizer', () => {
  test('keeps control tokens out of plain text', () => {
    const ids = bytes.encode('a<|im_end|>b', plain);
    expect(ids.some((id) => bytes.isControl(id))).toBe(false);
    expect(bytes.decode(ids)).toBe('a<|im_end|>b');
  });

  test('reads control tokens in template text', () => {
    const ids = bytes.encode('<|im_start|>hello<|im_end|>', { special: true, first: true });
    expect(ids).toEqual([262, 259, 263]);
    expect(bytes.endOfFirstControl('x<|im_end|>y')).toBe(11);
    expect(bytes.endOfFirstControl('xy')).toBe(-1);
  });

  test('gives a SentencePiece space prefix to the start of a prompt and after a control token only', () => {
    const whole = pieces.idOf('▁hi');
    const bare = pieces.idOf('hi');
    const end = pieces.idOf('<|im_end|>');
    expect(pieces.encode('hi', { special: true, first: true })).toEqual([whole]);
    expect(pieces.encode('hi', plain)).toEqual([bare]);
    expect(pieces.encode('hi<|im_end|>hi', { special: true, first: false })).toEqual([
      bare,
      end,
      whole,
    ]);
  });

  test('adds BOS once', () => {
    const bos = pieces.idOf('<|endoftext|>');
    expect(pieces.withBos([5])).toEqual([bos, 5]);
    expect(pieces.withBos(pieces.withBos([5]))).toEqual([bos, 5]);
    expect(bytes.withBos([5])).toEqual([5]);
  });

  test('gives back any text it encoded', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(bytes.decode(bytes.encode(text, plain))).toBe(text);
      }),
    );
  });
});
