// The automaton against a search by hand: every term at every place, and the depth it promises.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { AhoCorasick } from './aho-corasick.ts';

const codes = (text: string) => Array.from(text, (char) => char.codePointAt(0) ?? 0);
const small = fc.string({
  unit: fc.constantFrom('a', 'b', 'c', '中', '😀'),
  minLength: 1,
  maxLength: 5,
});

it('finds every term at every place, and knows the longest open beginning', () => {
  fc.assert(
    fc.property(
      fc.array(small, { minLength: 1, maxLength: 12 }),
      fc.string({ unit: fc.constantFrom('a', 'b', 'c', '中', '😀', 'x'), maxLength: 40 }),
      (terms, text) => {
        const automaton = new AhoCorasick(terms.map((term) => ({ codes: codes(term), script: 1 })));
        const chars = Array.from(text);
        let state = 0;
        for (const [at, char] of chars.entries()) {
          state = automaton.next(state, char.codePointAt(0) ?? 0);
          const read = chars.slice(0, at + 1).join('');
          const found: number[] = [];
          let term = automaton.scripts(state) === 0 ? automaton.shorterTerm(state) : state;
          for (; term !== 0; term = automaton.shorterTerm(term)) found.push(automaton.depth(term));
          const expected = new Set(
            terms.filter((one) => read.endsWith(one)).map((one) => codes(one).length),
          );
          expect(new Set(found)).toEqual(expected);
          const beginnings = terms.flatMap((one) => {
            const own = Array.from(one);
            return own.map((_, size) => own.slice(0, size + 1).join(''));
          });
          const open = beginnings
            .filter((one) => read.endsWith(one))
            .map((one) => codes(one).length);
          expect(automaton.depth(state)).toBe(Math.max(0, ...open));
        }
      },
    ),
    { numRuns: 300 },
  );
});
