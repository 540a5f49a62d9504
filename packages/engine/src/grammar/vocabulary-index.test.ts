// Masks over a vocabulary against asking for each token; constraints over whole texts; triggers.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createAnswerGrammars } from './answer-grammars.ts';
import { literal } from './expression.ts';
import { compileGrammar, type ByteState } from './grammar.ts';
import { schemas, seededRandom } from './schema-grammar.fake.ts';
import { schemaExpression } from './schema-grammar.ts';
import { schemaAt } from './schema-keywords.ts';
import { createTokenConstraint } from './token-constraint.ts';
import { createTrigger } from './trigger.ts';
import { advanceBytes, createVocabularyIndex, maskHas } from './vocabulary-index.ts';

const encoder = new TextEncoder();
const end = 0;
const control = 1;
const words = [
  '{"',
  '":',
  '": ',
  '", "',
  '"}',
  'true',
  'name',
  '12',
  '{}',
  '[]',
  '[[',
  'ab',
  ' ',
  '\n  ',
  '🌟',
  'é"',
];
/** End of turn, a control token, every byte, some words. */
const pieces = [
  new Uint8Array(),
  new Uint8Array(),
  ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
  ...words.map((word) => encoder.encode(word)),
];
const index = createVocabularyIndex(pieces.length, (token) => pieces[token] ?? new Uint8Array());
const constraintOf = (start: ByteState) => createTokenConstraint(start, index, new Set([end]));
const tokens = pieces.map((_, token) => token);

describe('createTokenConstraint', () => {
  it('masks exactly the tokens it allows, and random ones of them give valid texts', () => {
    fc.assert(
      fc.property(schemas, fc.nat(), (schema, seed) => {
        const random = seededRandom(seed);
        const grammar = compileGrammar(schemaExpression(schema, schemaAt('schema')));
        const constraint = constraintOf(grammar.start());
        const text: number[] = [];
        for (let step = 0; step < 30 && !constraint.complete; step++) {
          const mask = constraint.mask();
          const allowed = tokens.filter((token) => maskHas(mask, token));
          expect(allowed).toEqual(tokens.filter((token) => constraint.allows(token)));
          expect(allowed.length).toBeGreaterThan(0);
          const token = allowed[Math.floor(random() * allowed.length)] ?? end;
          if (token === end) return;
          constraint.accept(token);
          text.push(...(pieces[token] ?? []));
          expect(advanceBytes(grammar.start(), Uint8Array.from(text))).not.toBeNull();
        }
      }),
      { numRuns: 60 },
    );
  });

  it('allows the end where the text may end, control tokens nowhere', () => {
    const format = { type: 'json_schema', schema: { type: 'integer' } } as const;
    const constraint = constraintOf(createAnswerGrammars().response(format, ' ').start());
    expect(constraint.allows(end)).toBe(false);
    expect(constraint.allows(control)).toBe(false);
    constraint.accept(2 + 32); // The prefix, which is not part of the answer.
    expect(constraint.allows(end)).toBe(false);
    constraint.accept(2 + 256 + words.indexOf('12'));
    expect([constraint.allows(end), constraint.allows(control), constraint.complete]).toEqual([
      true,
      false,
      false,
    ]);
    const mask = constraint.mask();
    expect([maskHas(mask, end), maskHas(mask, control)]).toEqual([true, false]);
  });

  it('says when nothing but the end can follow', () => {
    const constraint = constraintOf(
      createAnswerGrammars().response({ type: 'json_object' }, '').start(),
    );
    expect(constraint.complete).toBe(false);
    constraint.accept(2 + 256 + words.indexOf('{}'));
    expect(constraint.complete).toBe(true);
  });

  it('refuses a schema that reads the same text in too many ways, as bad input', () => {
    const levels = Array.from({ length: 20 }, (_, level) => {
      const part = {
        type: 'object',
        properties: { a: { $ref: `#/$defs/${level + 1}` } },
        required: ['a'],
      };
      return { anyOf: [part, { ...part, additionalProperties: { type: 'null' } }] };
    });
    const schema = { $ref: '#/$defs/0', $defs: { ...levels, 20: { type: 'null' } } };
    const constraint = constraintOf(
      compileGrammar(schemaExpression(schema, schemaAt('schema'))).start(),
    );
    const write = (): void => {
      for (const byte of encoder.encode('{"a":'.repeat(20))) constraint.accept(2 + byte);
    };
    expect(write).toThrow(/too ambiguous/);
  });
});

describe('createAnswerGrammars', () => {
  it('compiles what comes again only once, and forgets what came long ago', () => {
    const grammars = createAnswerGrammars();
    const of = (minimum: number) =>
      grammars.response({ type: 'json_schema', schema: { type: 'integer', minimum } }, '');
    const first = of(0);
    expect(of(0)).toBe(first);
    for (let i = 1; i < 100; i++) of(i);
    expect(of(0)).not.toBe(first);
  });
});

const follow = (start: ByteState, text: string): ByteState | null =>
  advanceBytes(start, encoder.encode(text));

describe('createTrigger', () => {
  const anywhere = createTrigger({
    markers: ['<call>'],
    atStart: false,
    grammar: compileGrammar(literal('<call>42>')),
  });
  const atStart = createTrigger({
    markers: ['{"name"'],
    atStart: true,
    grammar: compileGrammar(literal('{"name":1}')),
  });

  it.each(['', 'free <text', 'a<call', '<<call>42>', '<ca<call>4', '</call>x<call>42>'])(
    'lets %j through',
    (text) => {
      expect(follow(anywhere, text)).not.toBeNull();
    },
  );

  it.each(['<call>x', 'a <call>42>x', '<call><call>', '<cal<call>5'])(
    'holds %j to the grammar',
    (text) => {
      expect(follow(anywhere, text)).toBeNull();
    },
  );

  it('may end where text is free, and in the grammar where that says so', () => {
    expect(follow(anywhere, 'a<call')?.accepting).toBe(true);
    expect(follow(anywhere, '<call>4')?.accepting).toBe(false);
    expect(follow(anywhere, '<call>42>')).toMatchObject({ accepting: true, final: true });
  });

  it('counts a marker at the start only, when told so', () => {
    expect(follow(atStart, '\n {"name"x')).toBeNull();
    expect(follow(atStart, 'say {"name"x')).not.toBeNull();
    expect(follow(atStart, '{"na {"name"x')).not.toBeNull();
  });

  it('finds a marker in any text, as a search does', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('<', '<c', 'all>', '<call>', 'x', 'é')), (parts) => {
        const text = parts.join('');
        const place = text.indexOf('<call>');
        const expected = place < 0 || '42>'.startsWith(text.slice(place + 6));
        expect(follow(anywhere, text) !== null).toBe(expected);
      }),
    );
  });
});

describe('createVocabularyIndex', () => {
  it('gives the same masks when it worked ahead in pieces', () => {
    const bytesOf = (token: number): Uint8Array => pieces[token] ?? new Uint8Array();
    const ahead = createVocabularyIndex(pieces.length, bytesOf);
    for (let i = 0; !ahead.prepare(0.01); i++) if (i > 10_000) throw new Error('it has no end');
    const state = createAnswerGrammars().response({ type: 'json_object' }, '').start();
    const place = follow(state, '{"a": "b');
    if (!place) throw new Error('JSON is refused');
    expect(ahead.mask(place)).toEqual(index.mask(place));
  });
});
