// Characters whose bytes come in several tokens.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createUtf8Assembler, pieceText } from './utf8-assembler.ts';

describe('createUtf8Assembler', () => {
  it('gives the text back for any cutting of its bytes, without a broken character on the way', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', maxLength: 40 }),
        fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1 }),
        (text, sizes) => {
          const bytes = new TextEncoder().encode(text);
          const assembler = createUtf8Assembler();
          const out: string[] = [];
          for (let at = 0, i = 0; at < bytes.length; i++) {
            const size = sizes[i % sizes.length] as number;
            out.push(assembler.push(bytes.subarray(at, at + size)));
            at += size;
          }
          expect(out.join('')).toBe(text);
          for (const part of out) expect(part.isWellFormed()).toBe(true);
        },
      ),
    );
  });

  it('replaces invalid bytes and goes on', () => {
    const assembler = createUtf8Assembler();
    expect(assembler.push(Uint8Array.of(0x61, 0xff, 0x62))).toBe('a\ufffdb');
  });

  it('keeps a byte order mark as text', () => {
    expect(createUtf8Assembler().push(Uint8Array.of(0xef, 0xbb, 0xbf))).toBe('\ufeff');
  });
});

describe('pieceText', () => {
  it('shows a lone byte of a character as U+FFFD', () => {
    expect(pieceText(Uint8Array.of(0xf0, 0x9f))).toBe('\ufffd');
    expect(pieceText(new TextEncoder().encode('é'))).toBe('é');
  });
});
