// Clusters against Intl.Segmenter over the whole text, and independence of how the text was cut.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { clusterEnd, maxClusterUnits } from './clusters.ts';

const segmenter = new Intl.Segmenter('und', { granularity: 'grapheme' });

/** All boundaries found while the text arrives in the given pieces. */
function boundaries(pieces: readonly string[]): number[] {
  const found: number[] = [];
  let text = '';
  let from = 0;
  const take = (ended: boolean) => {
    for (let end = clusterEnd(text, from, ended); end >= 0; end = clusterEnd(text, from, ended)) {
      found.push(end);
      from = end;
    }
  };
  for (const piece of pieces) {
    text += piece;
    take(false);
  }
  take(true);
  return found;
}

const unusual = fc.constantFrom(
  'a',
  'é',
  '\r',
  '\n',
  '\r\n',
  '\u0301',
  '\u200d',
  '\ufe0f',
  '👩',
  '🏽',
  '🇩',
  '🇪',
  '각',
  'ᄀ',
  'ᅡ',
  'क',
  '्',
  'ष',
  'ि',
  '\u0600',
  '中',
  'か',
  '\u3099',
  '\ud83d',
  '\ude00',
  '\u{e0041}',
  '\u{e007f}',
  '©',
  '\uff76',
  '\uff9e',
);
const anyText = fc.oneof(
  fc.array(unusual, { maxLength: 20 }).map((parts) => parts.join('')),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.string({ unit: 'grapheme', maxLength: 20 }),
);
const split = (text: string, cuts: readonly number[]) => {
  const at = [0, ...cuts.map((cut) => cut % (text.length + 1)), text.length].toSorted(
    (a, b) => a - b,
  );
  return at.slice(1).map((end, index) => text.slice(at[index], end));
};

describe('clusterEnd', () => {
  it('finds the boundaries of Intl.Segmenter', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const expected = [...segmenter.segment(text)].map(
          ({ index, segment }) => index + segment.length,
        );
        expect(boundaries([text])).toEqual(expected);
      }),
      { numRuns: 1500 },
    );
  });

  it('does not depend on how the text arrives, unit by unit included', () => {
    fc.assert(
      fc.property(anyText, fc.array(fc.nat(), { maxLength: 6 }), (text, cuts) => {
        const whole = boundaries([text]);
        expect(boundaries(split(text, cuts))).toEqual(whole);
        expect(boundaries(text.split(''))).toEqual(whole);
      }),
      { numRuns: 800 },
    );
  });

  it('cuts endless clusters, never inside a surrogate pair', () => {
    const endless = `a${'\u{e0041}'.repeat(200)}`;
    const found = boundaries([endless]);
    expect(boundaries(endless.split(''))).toEqual(found);
    let from = 0;
    for (const end of found) {
      expect(end - from).toBeLessThanOrEqual(maxClusterUnits);
      expect(endless.slice(from, end).isWellFormed()).toBe(true);
      from = end;
    }
    expect(from).toBe(endless.length);
  });
});
