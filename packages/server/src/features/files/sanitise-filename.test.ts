import fc from 'fast-check';
import { expect, it } from 'vitest';
import { sanitiseFilename } from './files-service.ts';

it('makes a label of any name: no path, no control character, never empty, well-formed', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (name) => {
      const label = sanitiseFilename(name);
      expect(label).toMatch(/^[^/\\\p{C}"]{1,200}$/u);
      expect(/^\.+$/.test(label)).toBe(false);
      expect(label.isWellFormed()).toBe(true);
    }),
  );
});

it('keeps what was good', () => {
  expect(sanitiseFilename('Müller & Söhne (2).jsonl')).toBe('Müller & Söhne (2).jsonl');
  expect(sanitiseFilename('C:\\data\\train.jsonl')).toBe('train.jsonl');
  expect(sanitiseFilename('../..')).toBe('file');
});
