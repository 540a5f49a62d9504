// When text is released: at once where nothing can match, never inside a character a reader sees, and
// never later than the stated bound, whatever the text does.
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compilePolicy } from './compile-policy.ts';
import { evaluateText } from './evaluate.ts';
import { type PolicyPackInput, parsePack } from './pack-schema.ts';
import { defaultPack } from './packs/base-security.ts';
import { createStreamGuard } from './stream-guard.ts';

const sha256 = (bytes: Uint8Array) => new Uint8Array(createHash('sha256').update(bytes).digest());

type Detector = PolicyPackInput['detectors'][number];
const compileDetector = (detector: Detector) =>
  compilePolicy(
    parsePack({
      schema: 'policy-pack/1',
      id: 'test.pack',
      version: '1.0.0',
      title: {},
      publisher: { name: 'test' },
      basis: [{ type: 'operator-choice' }],
      effective: { from: '2026-01-01' },
      categories: [{ id: 'c' }],
      detectors: [detector],
      rules: [
        {
          id: 'r.1',
          category: 'c',
          direction: 'output',
          when: 'd.words.matched',
          action: 'redact',
          explain: { code: 'T-1' },
        },
      ],
    }),
    { sha256 },
  );
const words = compileDetector({
  id: 'd.words',
  type: 'lexicon',
  source: { terms: ['kill switch', 'secret plan'] },
});
const stretched = compileDetector({
  id: 'd.words',
  type: 'lexicon',
  source: { terms: ['a'.repeat(64)] },
  match: { boundary: 'substring' },
});
const repeated = compileDetector({
  id: 'd.words',
  type: 'regex-re2',
  pattern: 'a{40}',
  maxChars: 40,
});
const base = compilePolicy(defaultPack, { sha256 });

/** What each piece releases. */
function releases(policy: typeof words, pieces: readonly string[]): string[] {
  const guard = createStreamGuard(policy, { direction: 'output' });
  return [...pieces.map((piece) => guard.push(piece).release), guard.end().release];
}

describe('what is held', () => {
  it('is one character where nothing can match', () => {
    expect(releases(words, 'go on'.split(''))).toEqual(['', 'g', 'o', ' ', 'o', 'n']);
    expect(releases(base, ['Hello', ' world', ', how']).join('|')).toBe('Hell|o worl|d, ho|w');
  });

  it('is what may still become a term, and no more', () => {
    expect(releases(words, ['say kill', ' swi', 'ne'])).toEqual(['say ', '', 'kill swin', 'e']);
    expect(releases(words, ['say kill', ' switch', '!'])).toEqual([
      'say ',
      '',
      '',
      '[redacted: T-1]!',
    ]);
  });

  it('is nothing inside a word that cannot begin a term', () => {
    expect(releases(words, ['overkill', ' x'])[0]).toBe('overkil');
  });

  it('is not delayed by detectors that only annotate', () => {
    const pieces = ['write to jane.doe', '@example', '.com ok'];
    expect(releases(base, pieces).slice(0, 2)).toEqual(['write to jane.do', 'e@exampl']);
    const { decisions } = evaluateText(base, pieces.join(''), { direction: 'output' });
    expect(decisions.map(({ code }) => code)).toEqual(['POL-P03']);
  });
});

describe('the bound', () => {
  const invisible = fc.constantFrom('\u200b', '\u{e0041}', '\ufe0f', '\u0301', '\u00ad');
  const attack = fc
    .array(
      fc.tuple(
        fc.constantFrom('a', 'k', 'i', 'l', ' ', 'a a', '👩', '\ud83d'),
        invisible,
        fc.nat(90),
      ),
      { maxLength: 80 },
    )
    .map((parts) => parts.map(([text, filler, count]) => text + filler.repeat(count)).join(''));

  const stretchedText = fc
    .array(fc.nat(60), { minLength: 30, maxLength: 60 })
    .map((counts) => counts.map((count) => `a${'\u200b'.repeat(count)}`).join(''));

  it('holds for texts made to be held back', () => {
    fc.assert(
      fc.property(
        fc.oneof(attack, stretchedText),
        fc.constantFrom(words, stretched, repeated),
        fc.integer({ min: 1, max: 50 }),
        (text, policy, size) => {
          const guard = createStreamGuard(policy, { direction: 'output' });
          let released = 0;
          for (let at = 0; at < text.length; at += size) {
            released += guard.push(text.slice(at, at + size)).release.length;
            const held = Math.min(at + size, text.length) - released;
            expect(held).toBeLessThanOrEqual(policy.maxHoldBackChars.output);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it('is stated for each direction, and small where nothing can be changed', () => {
    expect(words.maxHoldBackChars.output).toBeLessThan(1_000);
    expect(base.maxHoldBackChars.input).toBeLessThan(1_000);
  });
});

describe('cuts', () => {
  const segmenter = new Intl.Segmenter('und', { granularity: 'grapheme' });
  const text = fc.string({ unit: 'grapheme', maxLength: 40 }).filter((one) => one.isWellFormed());

  it('fall between graphemes only, for any pieces of any text', () => {
    fc.assert(
      fc.property(text, fc.integer({ min: 1, max: 5 }), (whole, size) => {
        const boundaries = new Set([0, whole.length]);
        for (const { index } of segmenter.segment(whole)) boundaries.add(index);
        const pieces = whole.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? [];
        let at = 0;
        for (const release of releases(words, pieces)) {
          at += release.length;
          expect(boundaries.has(at)).toBe(true);
        }
        expect(at).toBe(whole.length);
      }),
      { numRuns: 300 },
    );
  });
});

describe('long texts', () => {
  it('come out as the whole text would, long after the first buffers were given back', () => {
    const line =
      'Nothing here. k i l l  s w i t c h, a kіll switch and 中文 killing; the secret\u200b plan!\n';
    const text = line.repeat(200);
    const dense = 'kill switch '.repeat(1_500);
    expect(releases(words, dense.match(/[^]{1,5}/g) ?? []).join('')).toBe(
      '[redacted: T-1] '.repeat(1_500),
    );
    const whole = evaluateText(words, text, { direction: 'output' });
    expect(whole.decisions.length).toBe(400);
    for (const size of [1, 7, 4096]) {
      const pieces = text.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? [];
      expect(releases(words, pieces).join('')).toBe(whole.text);
    }
  });
});
