// Our execution of re2js's programs against re2js's own matcher: at every position the same answer and
// the same longest end. This is what an upgrade of re2js has to pass.
import fc from 'fast-check';
import { RE2JS } from 're2js';
import { describe, expect, it } from 'vitest';
import { defaultPack } from '../packs/base-security.ts';
import { endCode, RegexProgram } from './regex-program.ts';

/** End of the longest match that starts at `from`, or -1. */
function longestAt(program: RegexProgram, codes: readonly number[], from: number): number {
  let state = program.startState(from === 0 ? undefined : codes[from - 1]);
  let longest = -1;
  for (let at = from; ; at += 1) {
    const { accepts, next } = program.step(state, codes[at] ?? endCode);
    if (accepts) longest = at;
    if (next === null) return longest;
    state = next;
  }
}

const patterns = [
  ...defaultPack.detectors.flatMap((one) => (one.type === 'regex-re2' ? [one.pattern] : [])),
  String.raw`(?i)straße|\Bb+\B|^a|c$|(?m)^x|y$`,
  String.raw`(a|ab)(c|bcd)(d*)`,
  String.raw`[^a-c\n]{2,4}|.\n`,
  String.raw`\pL+\d{1,3}?|(?s).b`,
];
const pieces = fc.constantFrom(
  'a',
  'b',
  'c',
  'd',
  'x',
  'y',
  '\n',
  ' ',
  '-',
  '.',
  '1',
  '22',
  '4111 1111',
  'sk-',
  'abc123def456',
  'eyJ',
  '@',
  'mail.com',
  'AKIA',
  '-----BEGIN ',
  'PRIVATE KEY-----',
  '-----END ',
  '<|',
  '|>',
  '[INST]',
  'ignore',
  'previous',
  'prompt',
  '中',
  'STRASSE',
  'straße',
  '\u200b',
  '\u{e0041}',
  '\u{1f3f4}',
  '+49',
  '(0)',
  'DE89',
  'ghp_',
);

describe.each(patterns)('%s', (pattern) => {
  it('matches as re2js does', () => {
    const program = new RegexProgram(pattern);
    const reference = RE2JS.compile(pattern, RE2JS.LONGEST_MATCH);
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 14 }), (parts) => {
        const text = parts.join('');
        const chars = Array.from(text);
        const codes = chars.map((char) => char.codePointAt(0) ?? 0);
        let unit = 0;
        for (const [from, char] of chars.entries()) {
          const matcher = reference.matcher(text);
          const found = matcher.find(unit) && matcher.start() === unit;
          const end = found ? Array.from(text.slice(0, matcher.end())).length : -1;
          expect(longestAt(program, codes, from)).toBe(end);
          unit += char.length;
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('what cannot be run', () => {
  it.each(['(', 'a{2000}', '(?=x)', '((a{900}){900})'])('refuses %s', (pattern) => {
    expect(() => new RegexProgram(pattern)).toThrow(Error);
  });

  it('stays fast where backtracking would not', () => {
    const program = new RegexProgram('(a+)+$|(a|aa)+b');
    const codes = Array.from({ length: 5_000 }, () => 97);
    expect(longestAt(program, [...codes, 99], 0)).toBe(-1);
    expect(longestAt(program, codes, 0)).toBe(5_000);
  });
});
