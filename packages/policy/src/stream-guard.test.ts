// The promise of the stream guard: for every way of cutting a text the outcome is that of the whole
// text, and that outcome is the one defined in stream-guard.ts, computed here a second time, naively, over
// whole arrays and with JavaScript's own RegExp.
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compilePolicy } from './compile-policy.ts';
import { type PolicyPackInput, parsePack } from './pack-schema.ts';
import {
  naiveOutcome,
  type Outcome,
  patterns,
  type Rule,
  type RuleSet,
  words,
} from './naive-guard.fake.ts';
import { createStreamGuard } from './stream-guard.ts';

const sha256 = (bytes: Uint8Array) => new Uint8Array(createHash('sha256').update(bytes).digest());

const rule = (
  id: string,
  detector: string,
  action: Rule['action'],
  rest: Partial<Rule> = {},
): Rule => ({
  id,
  category: 'c',
  direction: 'output',
  when: `d.${detector}.matched`,
  action,
  explain: { code: `T-${id.toUpperCase()}` },
  ...rest,
});
const testPack = (rules: Rule[], combine: PolicyPackInput['combine'] = 'deny-overrides') =>
  parsePack({
    schema: 'policy-pack/1',
    id: 'test.pack',
    version: '1.0.0',
    title: { en: 'test' },
    publisher: { name: 'test' },
    basis: [{ type: 'operator-choice' }],
    effective: { from: '2026-01-01' },
    combine,
    categories: [{ id: 'c' }],
    detectors: [
      {
        id: 'd.plain',
        type: 'lexicon',
        source: { terms: words.plain },
        match: { boundary: 'word' },
      },
      {
        id: 'd.inner',
        type: 'lexicon',
        source: { terms: words.inner },
        match: { boundary: 'substring' },
      },
      { id: 'd.cjk', type: 'lexicon', source: { terms: words.cjk }, match: { boundary: 'cjk' } },
      {
        id: 'd.exact',
        type: 'lexicon',
        source: { terms: words.exact },
        match: { boundary: 'substring', normalise: 'none' },
      },
      ...Object.entries(patterns).map(([name, { pattern, maxChars, normalise }]) => ({
        id: `d.${name}`,
        type: 'regex-re2' as const,
        pattern: pattern.replaceAll('\\u200b', '\\x{200b}').replaceAll('\\u0301', '\\x{301}'),
        maxChars,
        normalise,
      })),
    ],
    rules,
  } satisfies PolicyPackInput);

const ruleSets: readonly RuleSet[] = [
  {
    name: 'redactions that overlap, with annotations',
    combine: 'deny-overrides',
    rules: [
      rule('a', 'plain', 'redact'),
      rule('b', 'inner', 'redact', { priority: 200 }),
      rule('c', 'cjk', 'annotate'),
      rule('d', 'exact', 'annotate'),
      rule('e', 'token', 'redact'),
      rule('f', 'greedy', 'annotate'),
      rule('g', 'edges', 'redact'),
      rule('h', 'raw', 'redact'),
    ],
  },
  {
    name: 'stops that depend on counts',
    combine: 'deny-overrides',
    rules: [
      rule('a', 'plain', 'stop', { when: 'd.plain.count >= 2 && d.inner.count > 0' }),
      rule('b', 'inner', 'annotate', { when: 'd.inner.matched && match.length > 2' }),
      rule('c', 'greedy', 'redact'),
      rule('d', 'token', 'refuse', { when: "d.token.count > 1 && role == 'assistant'" }),
      rule('e', 'edges', 'annotate'),
    ],
  },
  ...(['first-applicable', 'most-specific', 'deny-overrides'] as const).map((combine) => ({
    name: `exceptions, ${combine}`,
    combine,
    rules: [
      rule('a', 'plain', 'allow', { priority: 150 }),
      rule('b', 'inner', 'redact', { priority: 150 }),
      rule('c', 'greedy', 'redact', { priority: 100 }),
      rule('d', 'cjk', 'allow', { priority: 50 }),
      rule('e', 'edges', 'redact', { priority: 300 }),
    ],
  })),
];

// ---- Texts and cuts ----------------------------------------------------------------------------------

const fragment = fc.constantFrom(
  'kill',
  'kill switch',
  'k i l l',
  'k.i.l.l',
  's-k-i-l-l',
  'kіll',
  'КІLL',
  'k\u200bi\u200dl\ufe0fl',
  'skill',
  'he',
  'she',
  'hers',
  'привет',
  'прiвет',
  'рост',
  'vitamin c',
  'vitamin c d',
  'ab',
  'bab',
  'babc',
  'aab',
  'abac',
  'ababc',
  '中文',
  '文字',
  'ok',
  'ß',
  'SS',
  'sk-abc1',
  'sk-',
  'ｓｋ－ａｂｃ',
  'sk-\u200babc',
  'x1y',
  'x',
  'y',
  'e',
  'Key',
  '\u200b!',
  '\u200b',
  '\u0301',
  '\u200b\u200b',
  'k\u0300',
  ' ',
  ' ',
  '.',
  '-',
  '\n',
  '\r\n',
  '👩‍👩‍👧',
  '🏴\u{e0067}\u{e007f}',
  '\u{e0041}',
  '\ud83d',
  '\ude00',
  '\ufeff',
  'a',
  'b',
  'c',
  'h',
  'i',
  'l',
  '\u200b'.repeat(70),
  `a${'\u{e0041}'.repeat(40)}`,
);
const anyText = fc.oneof(
  { weight: 6, arbitrary: fc.array(fragment, { maxLength: 12 }).map((parts) => parts.join('')) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 30 }) },
);
const cuts = fc.array(fc.nat(), { maxLength: 8 });
const split = (text: string, at: readonly number[]) => {
  const ends = [...at.map((cut) => cut % (text.length + 1)), text.length].toSorted((a, b) => a - b);
  return ends.map((end, index) => text.slice(ends[index - 1] ?? 0, end));
};

type Policy = ReturnType<typeof compilePolicy>;

/** The guard's outcome for a text in pieces, with what must hold for every single push. */
function streamed(policy: Policy, pieces: readonly string[]): Outcome & { worstHeld: number } {
  const guard = createStreamGuard(policy, { direction: 'output' });
  const outcome = {
    text: '',
    decisions: [] as Outcome['decisions'],
    worstHeld: 0,
  };
  let given = 0;
  let stopped = false;
  for (const piece of [...pieces, null]) {
    const result = piece === null ? guard.end() : guard.push(piece);
    given += piece?.length ?? 0;
    outcome.text += result.release;
    outcome.decisions.push(
      ...result.decisions.map(({ action, rule: id, detector, start, end }) => ({
        action,
        rule: id,
        detector,
        start,
        end,
      })),
    );
    stopped ||= result.stop !== null;
    // Marks make text longer or shorter, so the hold-back is measured where nothing was changed.
    if (!stopped && !outcome.text.includes('[redacted')) {
      outcome.worstHeld = Math.max(outcome.worstHeld, given - outcome.text.length);
    }
  }
  return outcome;
}

const policies = ruleSets.map((set) => ({
  ...set,
  set,
  policy: compilePolicy(testPack(set.rules, set.combine), { sha256 }),
}));

describe.each(policies)('$name', ({ policy, set }) => {
  it('gives what the definition says', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const { text: released, decisions } = streamed(policy, [text]);
        expect({ text: released, decisions }).toEqual(naiveOutcome(text, set));
      }),
      { numRuns: 200 },
    );
  });

  it('gives the same for every way of cutting the text', () => {
    fc.assert(
      fc.property(anyText, cuts, (text, at) => {
        const whole = streamed(policy, [text]);
        for (const pieces of [split(text, at), text.split('')]) {
          const { text: released, decisions, worstHeld } = streamed(policy, pieces);
          expect({ released, decisions }).toEqual({
            released: whole.text,
            decisions: whole.decisions,
          });
          expect(worstHeld).toBeLessThanOrEqual(policy.maxHoldBackChars.output);
        }
      }),
      { numRuns: 400 },
    );
  });
});
