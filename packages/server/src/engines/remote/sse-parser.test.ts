// Events are the same however the bytes are cut; what has no end stays bounded.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SseParser, SseTooLongError } from './sse-parser.ts';

const parse = (chunks: readonly Uint8Array[]): string[] => {
  const parser = new SseParser(10_000);
  return chunks.flatMap((chunk) => parser.push(chunk));
};
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test.each([
  ['data: a\n\ndata: b\n\n', ['a', 'b']],
  ['\uFEFFdata:a\r\n\r\n', ['a']],
  ['data: a\rdata:  b\r\r', ['a\n b']],
  [': hello\nevent: x\nid: 1\nretry: 5\ndata: a\n\n', ['a']],
  ['data\n\n', ['']],
  ['event: ping\n\n\n\ndata: a\n\n', ['a']],
  ['data: never ended\n', []],
  ['data: {"a":"b: c"}\n\n', ['{"a":"b: c"}']],
])('%j', (text, expected) => {
  expect(parse([bytes(text)])).toEqual(expected);
});

test('the same events, however the bytes are cut', () => {
  const line = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 20 }).map((text) => `data: ${text}`),
    fc.constantFrom('', ': comment', 'event: x', 'data', 'id: 1', 'data: {"a":1}'),
  );
  const stream = fc
    .array(fc.tuple(line, fc.constantFrom('\n', '\r\n', '\r')), { maxLength: 20 })
    .map((lines) => bytes(lines.map(([text, end]) => text + end).join('')));
  fc.assert(
    fc.property(stream, fc.array(fc.nat(200), { maxLength: 12 }), (all, cuts) => {
      const places = [...new Set([0, ...cuts.map((cut) => Math.min(cut, all.length)), all.length])];
      places.sort((a, b) => a - b);
      const chunks = places.slice(1).map((end, i) => all.subarray(places[i], end));
      expect(parse(chunks)).toEqual(parse([all]));
      expect(parse(Array.from(all, (byte) => Uint8Array.of(byte)))).toEqual(parse([all]));
    }),
  );
});

test('an event without an end is refused before it fills the memory, in lines or in one', () => {
  for (const text of ['x'.repeat(50), `data: ${'x'.repeat(50)}\n`]) {
    const parser = new SseParser(1000);
    expect(() => {
      for (let i = 0; i < 100; i++) parser.push(bytes(text));
    }).toThrow(SseTooLongError);
  }
});
