// JSON as its reader sees it, however it is cut: the view is the text with its escapes resolved, and every
// offset in it leads back to the characters it came from.
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { JsonView } from './json-view.ts';

/** JSON strings whose characters are escaped at random, and what they say. */
const escapedText = fc
  .array(
    fc.record({
      letter: fc.constantFrom('a', 'ü', '"', '\\', '\n', '/', 'S', '中', '\u{1F600}'),
      escape: fc.boolean(),
    }),
    { maxLength: 12 },
  )
  .map((letters) => {
    const written = letters.map(({ letter, escape }) => {
      const plain = JSON.stringify(letter).slice(1, -1);
      const units = Array.from({ length: letter.length }, (_, i) => letter.charCodeAt(i));
      const coded = units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
      return escape ? coded : plain;
    });
    return { raw: written.join(''), read: letters.map(({ letter }) => letter).join('') };
  });
const cuts = fc.array(fc.nat({ max: 80 }), { maxLength: 6 });

function pieces(text: string, at: readonly number[]): string[] {
  const bounds = [0, ...at.map((cut) => Math.min(cut, text.length)), text.length];
  const sorted = bounds.toSorted((a, b) => a - b);
  return sorted.slice(1).map((end, i) => text.slice(sorted[i], end));
}

test('escapes are resolved, however the text is cut', () => {
  fc.assert(
    fc.property(escapedText, cuts, ({ raw, read }, at) => {
      const view = new JsonView();
      const seen = pieces(raw, at).map((piece) => view.push(piece));
      expect(seen.join('') + view.end()).toBe(read);
    }),
  );
});

test('offsets lead back: the parts of the view are parts of the text that say the same', () => {
  fc.assert(
    fc.property(escapedText, cuts, cuts, ({ raw, read }, at, asked) => {
      const view = new JsonView();
      for (const piece of pieces(raw, at)) view.push(piece);
      let from = 0;
      let said = '';
      const offsets = [...asked.map((one) => Math.min(one, read.length)), read.length];
      for (const offset of offsets.toSorted((a, b) => a - b)) {
        const to = view.rawOffset(offset);
        said += JSON.parse(`"${raw.slice(from, to)}"`);
        expect(said).toBe(read.slice(0, offset));
        from = to;
      }
      expect(from).toBe(raw.length);
    }),
  );
});

test.each(['\\', '\\u', '\\u00', '\\uZZZZ', '\\x'])('what is no escape stays: %s', (text) => {
  const view = new JsonView();
  expect((view.push(text) + view.end()).endsWith(text.at(-1) ?? '')).toBe(true);
});
