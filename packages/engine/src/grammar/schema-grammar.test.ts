// Schema to grammar, held against an independent validator (ajv): whatever a grammar lets through is valid
// JSON of the schema, and what is valid gets through.
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CorralError } from '@corral/contracts';
import { compileGrammar, grammarMatches } from './grammar.ts';
import { randomInstance, randomText, schemas, seededRandom } from './schema-grammar.fake.ts';
import { schemaExpression } from './schema-grammar.ts';
import { schemaAt } from './schema-keywords.ts';

const place = schemaAt('schema');
const grammarOf = (schema: unknown) => compileGrammar(schemaExpression(schema, place));

const ajv = new Ajv2020({ strict: false, addUsedSchema: false });
addFormats.default(ajv);
const validatorOf =
  (schema: object) =>
  (value: unknown): boolean =>
    ajv.validate(schema, value);

const accepts = (schema: unknown, ...texts: string[]): boolean[] => {
  const grammar = grammarOf(schema);
  return texts.map((text) => grammarMatches(grammar, text));
};

const errorOf = (schema: unknown): CorralError => {
  try {
    grammarOf(schema);
  } catch (error) {
    if (CorralError.isInstance(error)) return error;
    throw error;
  }
  throw new Error('it was accepted');
};

describe('schemaExpression', () => {
  it('lets through only texts that parse and are valid', () => {
    let ended = 0;
    fc.assert(
      fc.property(schemas, fc.nat(), (schema, seed) => {
        const random = seededRandom(seed);
        const valid = validatorOf(schema);
        const grammar = grammarOf(schema);
        for (let i = 0; i < 5; i++) {
          const text = randomText(grammar.start(), random);
          if (text === null) continue;
          ended++;
          const value: unknown = JSON.parse(text);
          expect(valid(value), `${text} for ${JSON.stringify(schema)}`).toBe(true);
        }
      }),
      { numRuns: 60 },
    );
    expect(ended).toBeGreaterThan(100);
  });

  it('lets through every valid value, compact or laid out', () => {
    fc.assert(
      fc.property(schemas, fc.nat(), (schema, seed) => {
        const random = seededRandom(seed);
        const grammar = grammarOf(schema);
        const valid = validatorOf(schema);
        for (let i = 0; i < 5; i++) {
          const value = randomInstance(schema, random);
          expect(valid(value)).toBe(true);
          for (const indent of [0, 2])
            expect(
              grammarMatches(grammar, JSON.stringify(value, null, indent)),
              `${JSON.stringify(value)} for ${JSON.stringify(schema)}`,
            ).toBe(true);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('follows references, recursion included', () => {
    const schema = {
      $defs: {
        node: {
          type: 'object',
          properties: {
            value: { type: 'integer' },
            next: { anyOf: [{ $ref: '#/$defs/node' }, { type: 'null' }] },
          },
          required: ['value', 'next'],
          additionalProperties: false,
        },
      },
      $ref: '#/$defs/node',
    };
    expect(
      accepts(schema, '{"value":1,"next":{"value":2,"next":null}}', '{"value":1,"next":{}}'),
    ).toEqual([true, false]);
    const random = seededRandom(3);
    const valid = validatorOf(schema);
    for (let i = 0; i < 20; i++) {
      const text = randomText(grammarOf(schema).start(), random);
      expect(text !== null && valid(JSON.parse(text))).toBe(true);
    }
  });

  it('never leads into a dead end, however deep a text nests', () => {
    const schema = {
      type: 'object',
      properties: {
        children: { type: 'array', items: { $ref: '#' } },
        last: { $ref: '#/$defs/leaf' },
      },
      required: ['children', 'last'],
      $defs: {
        leaf: { type: 'object', properties: { x: { type: 'array', items: {} } }, required: ['x'] },
      },
    };
    let state = grammarOf(schema).start();
    const follow = (text: string): boolean =>
      [...Buffer.from(text)].every((byte) => {
        const next = state.advance(byte);
        if (next) state = next;
        return next !== null;
      });
    let depth = 0;
    while (depth < 1000 && follow('{"children":[')) depth++;
    // Where it may not nest deeper, it can still be closed.
    expect(depth).toBeGreaterThan(20);
    expect(depth).toBeLessThan(1000);
    expect(follow(`],"last":{"x":[]}}${'],"last":{"x":[]}}'.repeat(depth - 1)}`)).toBe(true);
    expect(state.accepting).toBe(true);
  });

  it('merges allOf, references with neighbours, and a base with its anyOf', () => {
    const schema = {
      $defs: {
        named: { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] },
      },
      allOf: [
        { $ref: '#/$defs/named' },
        { properties: { age: { type: 'integer', minimum: 0 } } },
        { properties: { age: { maximum: 9 } }, required: ['age'] },
      ],
    };
    expect(accepts(schema, '{"name":"x","age":9}', '{"name":"x","age":10}', '{"age":1}')).toEqual([
      true,
      false,
      false,
    ]);
    const branches = {
      type: 'object',
      properties: { a: { type: 'integer' } },
      required: ['a'],
      anyOf: [
        { properties: { b: { const: 1 } }, required: ['b'] },
        { properties: { c: { const: 2 } } },
      ],
    };
    expect(accepts(branches, '{"a":1,"b":1}', '{"a":1,"c":2}', '{"a":1}', '{"b":1}')).toEqual([
      true,
      true,
      true,
      false,
    ]);
  });

  it('takes oneOf where the branches exclude each other, and refuses it elsewhere', () => {
    const tagged = (tag: string) => ({
      type: 'object',
      properties: { kind: { const: tag }, [tag]: { type: 'integer' } },
      required: ['kind', tag],
    });
    expect(
      accepts({ oneOf: [tagged('a'), tagged('b')] }, '{"kind":"a","a":1}', '{"kind":"a","b":1}'),
    ).toEqual([true, false]);
    expect(accepts({ oneOf: [{ type: 'string' }, { type: 'integer' }] }, '1', '"x"')).toEqual([
      true,
      true,
    ]);
    expect(errorOf({ oneOf: [{ type: 'number' }, { type: 'integer' }] }).message).toMatch(
      /oneOf.*anyOf/,
    );
  });

  it.each(['2023-02-29', '2024-13-01', '1900-02-29', '2024-04-31'])(
    'knows that %s is no date',
    (date) => {
      expect(accepts({ type: 'string', format: 'date' }, JSON.stringify(date))).toEqual([false]);
    },
  );

  it('keeps names that are declared out of the other properties, however they are spelled', () => {
    const schema = {
      type: 'object',
      properties: { ab: { type: 'null' } },
      additionalProperties: { type: 'integer' },
    };
    expect(
      accepts(
        schema,
        '{"a":1,"abc":2,"b":3}',
        '{"ab":1}',
        String.raw`{"\u0061b":1}`,
        '{"ab":null,"x":1}',
        '{"":1}',
      ),
    ).toEqual([true, false, false, true, true]);
  });

  it('knows properties named like parts of JavaScript', () => {
    const schema = JSON.parse(
      '{"allOf":[{"type":"object","properties":{"__proto__":{"type":"integer"}},"required":["__proto__"]},{"properties":{"constructor":{"type":"null"}}}]}',
    ) as unknown;
    expect(accepts(schema, '{"__proto__":1,"constructor":null}', '{}')).toEqual([true, false]);
  });

  it('takes any name of a property, those of every object included', () => {
    const inherited = [...Object.getOwnPropertyNames(Object.prototype), 'prototype', 'then'];
    // Names like "0" come first in every object of JavaScript, whatever the text says.
    const free = fc.string().filter((name) => !/^\d+$/.test(name));
    const names = fc.uniqueArray(fc.oneof(fc.constantFrom(...inherited), free), {
      minLength: 1,
      maxLength: 6,
    });
    // By way of text: an object literal cannot have a property "__proto__".
    const object = (keys: readonly string[], value: (i: number) => string): string =>
      `{${keys.map((key, i) => `${JSON.stringify(key)}:${value(i)}`).join(',')}}`;
    fc.assert(
      fc.property(names, fc.boolean(), (keys, merged) => {
        const properties = object(keys, () => '{"type":"integer"}');
        const whole = `{"type":"object","properties":${properties},"required":${JSON.stringify(keys)}}`;
        const text = merged ? `{"allOf":[${whole},{"type":"object"}]}` : whole;
        const written = object(keys, String);
        const wrong = object(keys, (i) => (i === 0 ? 'null' : String(i)));
        const fewer = object(keys.slice(1), String);
        const result = accepts(JSON.parse(text), written, wrong, fewer);
        expect(result, text).toEqual([true, false, false]);
      }),
      { numRuns: 200 },
    );
  });

  it('bounds white space', () => {
    const schema = { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] };
    expect(
      accepts(
        schema,
        '{ "a": 1 }',
        '{\n  "a": 1\n}',
        '{  "a":1}',
        `{\n${' '.repeat(99)}"a":1}`,
        ' {"a":1}',
        '{"a":1}\n',
      ),
    ).toEqual([true, true, false, false, false, false]);
  });
});

describe('what is not followed', () => {
  it.each([
    [{ type: 'object', properties: { a: { not: {} } } }, 'not', 'schema.properties.a'],
    [{ type: 'array', uniqueItems: true }, 'uniqueItems', 'schema'],
    [{ type: 'array', items: { if: {} } }, 'if', 'schema.items'],
    [{ type: 'object', patternProperties: {} }, 'patternProperties', 'schema'],
    [{ anyOf: [{ type: 'number', multipleOf: 0.5 }] }, 'multipleOf', 'schema.anyOf[0]'],
    [{ type: 'string', format: 'iri' }, 'format', 'schema'],
    [{ type: 'string', pattern: '(?=a)' }, 'pattern', 'schema'],
    [{ type: 'string', pattern: String.raw`(a)\1` }, 'pattern', 'schema'],
    [{ type: 'number', minimum: 0.5 }, 'minimum', 'schema'],
    [{ type: 'object', minProperties: 1 }, 'minProperties', 'schema'],
    [{ $ref: 'https://example.com/schema' }, '$ref', 'schema'],
    [{ type: 'string', whatever: 1 }, 'whatever', 'schema'],
    [{ type: 'string', maxLength: 1_000_000 }, 'maxLength', 'schema'],
  ])('%j is refused by the name of the keyword', (schema, keyword, path) => {
    const error = errorOf(schema);
    expect(error.code).toBe('unsupported_parameter');
    expect(error.param).toBe(`${path}.${keyword}`);
    expect(error.message).toContain(`"${path}.${keyword}" is not supported`);
  });

  it.each([
    [{ type: 'nothing' }, /"type"/],
    [{ $ref: '#/$defs/none' }, /leads nowhere/],
    [{ $ref: '#' }, /begins with itself|no end/],
    [{ anyOf: [] }, /empty/],
    [{ type: 'integer', minimum: 3, maximum: 2 }, /no number/],
    [{ type: 'string', minLength: 3, maxLength: 2 }, /larger than/],
    [{ allOf: [{ type: 'string' }, { type: 'integer' }] }, /no value has both types/],
    [{ type: 'object', properties: { a: { $ref: '#' } }, required: ['a'] }, /no end/],
    [{ type: 'object', required: ['a'], additionalProperties: false }, /"a" is required/],
    [{ properties: 1 }, /must be an object/],
  ])('%j is refused with the reason', (schema, reason) => {
    expect(() => grammarOf(schema)).toThrow(reason);
  });

  it('is a schema that doubles where it is written out', () => {
    const levels = Array.from({ length: 60 }, (_, i) => {
      const next = { $ref: `#/$defs/${i + 1}` };
      return { allOf: [next, next] };
    });
    const schema = { $ref: '#/$defs/0', $defs: { ...levels, 60: { type: 'object' } } };
    expect(errorOf(schema).message).toMatch(/more than 256 schemas/);
  });

  it('is a schema too large, too deep or too wide', () => {
    const deep = (levels: number): object =>
      levels === 0 ? {} : { type: 'array', items: deep(levels - 1) };
    expect(errorOf(deep(200)).message).toMatch(/nested deeper/);
    expect(errorOf({ prefixItems: Array(9999).fill(true) }).message).toMatch(
      /more than 1000 items/,
    );
    expect(errorOf({ description: 'x'.repeat(300_000) }).message).toMatch(/limit is/);
    const long = 'x'.repeat(50_000);
    expect(accepts({ enum: [`${long}a`, `${long}b`] }, `"${long}b"`, `"${long}"`)).toEqual([
      true,
      false,
    ]);
    expect(errorOf({ type: 'object', properties: { [long]: {} } }).message).toMatch(/name of more/);
    expect(
      errorOf({ oneOf: Array.from({ length: 200 }, (_, i) => ({ const: i })) }).message,
    ).toMatch(/128 branches/);
    const wide = Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`p${i}`, {}]));
    expect(errorOf({ type: 'object', properties: wide }).message).toMatch(/1000 properties/);
  });
});
