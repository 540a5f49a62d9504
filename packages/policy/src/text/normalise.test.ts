// What matching sees of common disguises, and what it must not confuse.
import { describe, expect, it } from 'vitest';
import { clusterEnd } from './clusters.ts';
import { foldCluster, stripCluster } from './normalise.ts';

function apply(normalise: (cluster: string) => readonly number[], text: string): string {
  const codes: number[] = [];
  for (let from = 0; from < text.length;) {
    const end = clusterEnd(text, from, true);
    codes.push(...normalise(text.slice(from, end)));
    from = end;
  }
  return String.fromCodePoint(...codes);
}

describe('stripCluster', () => {
  it.each([
    ['zero-width characters', 'k\u200bi\u200cl\u2060l', 'kill'],
    ['tag characters', 'k\u{e0069}\u{e006c}ill', 'kill'],
    ['bidi controls', '\u202ekill\u202c', 'kill'],
    ['soft hyphens', 'ki\u00adll', 'kill'],
    ['variation selectors on letters', 'k\ufe0fi\u{e0101}ll', 'kill'],
    ['control characters', 'k\u0001i\u0007ll', 'kill'],
    ['full-width letters', 'Ｋｉｌｌ', 'Kill'],
    ['mathematical letters', '𝐊𝐢𝐥𝐥', 'Kill'],
    ['ligatures', 'ﬁle', 'file'],
  ])('sees through %s', (_, text, seen) => {
    expect(apply(stripCluster, text)).toBe(seen);
  });

  it('keeps white space, case, accents and the selector of an emoji', () => {
    const text = 'Año\tnuevo\r\n❤\ufe0f';
    expect(apply(stripCluster, text)).toBe(text);
  });

  it('never lets two halves of surrogate pairs meet', () => {
    expect(apply(stripCluster, '\ud83d\u200b\ude00')).toBe('\ufffd\ufffd');
  });
});

describe('foldCluster', () => {
  it.each([
    ['case', 'KiLL', 'kill'],
    ['sharp s', 'Straße STRAẞE', 'strasse strasse'],
    ['final sigma', 'ΟΔΟΣ οδος', 'οδοσ οδοσ'],
    ['long s', 'ſecret', 'secret'],
    ['piled marks', 'k\u0300\u0316i\u0336ll', 'kill'],
  ])('folds %s', (_, text, seen) => {
    expect(apply(foldCluster, text)).toBe(seen);
  });

  it('keeps letters that differ by an accent apart', () => {
    expect(apply(foldCluster, 'año')).not.toBe(apply(foldCluster, 'ano'));
    expect(apply(foldCluster, 'n\u0303')).toBe('ñ');
  });
});
