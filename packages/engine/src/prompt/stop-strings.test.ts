// Stop strings across the borders of tokens: any cutting gives the same text.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createStopFilter } from './stop-strings.ts';

function run(chunks: readonly string[], stops: readonly string[]) {
  const filter = createStopFilter(stops);
  const shown: string[] = [];
  for (const chunk of chunks) {
    const { text, stopped } = filter.push(chunk);
    shown.push(text);
    if (stopped) return { text: shown.join(''), stopped: true, shown };
  }
  return { text: shown.join('') + filter.flush(), stopped: false, shown };
}

// Few letters, so that matches, overlaps and near misses are common.
const text = fc
  .array(fc.constantFrom('a', 'b', 'c', '🌟'), { maxLength: 30 })
  .map((l) => l.join(''));
const stop = fc
  .array(fc.constantFrom('a', 'b', 'c', '🌟'), { minLength: 1, maxLength: 4 })
  .map((letters) => letters.join(''));

/** By the definition: the match whose end comes first, of those the longest. */
function expected(whole: string, stops: readonly string[]) {
  for (let end = 1; end <= whole.length; end++) {
    const ending = stops.filter((s) => whole.slice(0, end).endsWith(s));
    if (ending.length > 0) {
      const longest = Math.max(...ending.map((s) => s.length));
      return { text: whole.slice(0, end - longest), stopped: true };
    }
  }
  return { text: whole, stopped: false };
}

describe('createStopFilter', () => {
  it('gives the same outcome for every cutting of the same text', () => {
    const stops = fc.array(stop, { maxLength: 4 });
    const cuts = fc.array(fc.nat(60), { maxLength: 20 });
    fc.assert(
      fc.property(text, stops, cuts, (whole, strings, at) => {
        const points = [0, ...at.map((n) => n % (whole.length + 1)), whole.length];
        const edges = points.toSorted((a, b) => a - b);
        const chunks = edges.slice(1).map((edge, i) => whole.slice(edges[i], edge));
        expect(run(chunks, strings)).toMatchObject(expected(whole, strings));
      }),
      { numRuns: 1000 },
    );
  });

  it('holds back no more than a stop string could need', () => {
    const filter = createStopFilter(['STOP']);
    expect(filter.push('a ST').text).toBe('a ');
    expect(filter.push('A').text).toBe('STA');
    expect(filter.push('b').text).toBe('b');
  });

  it('never shows half of a character outside the basic plane', () => {
    const filter = createStopFilter(['\udf1f!']);
    expect(filter.push('x🌟').text).toBe('x');
    expect(filter.push('y').text).toBe('🌟y');
  });

  it('passes everything when there is nothing to look for', () => {
    expect(run(['a', 'b'], []).shown).toEqual(['a', 'b']);
  });

  it('shows nothing after the stop', () => {
    const filter = createStopFilter(['x']);
    expect(filter.push('axb')).toEqual({ text: 'a', stopped: true });
    expect(filter.push('c')).toEqual({ text: '', stopped: true });
    expect(filter.flush()).toBe('');
  });
});
