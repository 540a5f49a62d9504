// Random schemas, random texts under a grammar and random instances of a schema, for property tests.
import fc from 'fast-check';
import type { ByteState } from './grammar.ts';
import type { SchemaObject } from './schema-keywords.ts';

export type Random = () => number;

/** Numbers in [0, 1) from a seed (mulberry32). */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

const pick = <T>(items: readonly T[], random: Random): T =>
  items[Math.floor(random() * items.length)] as T;

const between = (low: number, high: number, random: Random): number =>
  low + Math.floor(random() * (high - low + 1));

const bytesFrom = (state: ByteState): number[] =>
  Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => state.advance(byte) !== null);

const closers = new Set(Buffer.from('"]}'));

/** A text that the grammar allows, byte by byte at random; null when it did not end in `limit` bytes. */
export function randomText(start: ByteState, random: Random, limit = 4000): string | null {
  const bytes: number[] = [];
  let state = start;
  while (!(state.accepting && (state.final || random() < 0.3))) {
    if (bytes.length > limit) return null;
    const allowed = bytesFrom(state);
    if (allowed.length === 0) throw new Error(`a dead end after ${Buffer.from(bytes).toString()}`);
    const closing = allowed.filter((byte) => closers.has(byte));
    const byte =
      closing.length > 0 && random() < 0.4 ? pick(closing, random) : pick(allowed, random);
    bytes.push(byte);
    state = state.advance(byte) ?? state;
  }
  return Buffer.from(bytes).toString();
}

const names = ['a', 'b', 'ab', 'name', 'ü', 'with "quotes"', 'new\nline'];
const leaves: fc.Arbitrary<SchemaObject> = fc.oneof(
  fc.constant({ type: 'boolean' }),
  fc.constant({ type: 'null' }),
  fc.constant({ type: 'string' }),
  fc.constant({ type: 'number' }),
  fc.constant({ type: 'integer' }),
  fc.constant({ type: ['string', 'null'] }),
  fc
    .tuple(fc.nat(4), fc.nat(4))
    .map(([min, more]) => ({ type: 'string', minLength: min, maxLength: min + more })),
  fc
    .tuple(fc.integer({ min: -2000, max: 2000 }), fc.nat(3000))
    .map(([min, more]) => ({ type: 'integer', minimum: min, maximum: min + more })),
  fc
    .tuple(fc.integer({ min: -200, max: 200 }), fc.integer({ min: 1, max: 300 }))
    .map(([min, more]) => ({ type: 'number', exclusiveMinimum: min, maximum: min + more })),
  fc.integer({ min: -5, max: 5 }).map((min) => ({ type: 'integer', minimum: min })),
  fc
    .uniqueArray(fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null)), {
      minLength: 1,
      maxLength: 4,
      comparator: (a, b) => JSON.stringify(a) === JSON.stringify(b),
    })
    .map((values) => ({ enum: values })),
  fc.string().map((value) => ({ const: value })),
  fc
    .constantFrom('^[a-c]{2,4}$', '^(foo|ba[rz]+)?$', String.raw`^\d{3}-[^x"]$`)
    .map((pattern) => ({ type: 'string', pattern })),
  fc
    .constantFrom(
      'date',
      'time',
      'date-time',
      'uuid',
      'ipv4',
      'email',
      'duration',
      'hostname',
      'ipv6',
      'uri',
    )
    .map((format) => ({ type: 'string', format })),
);

/** Schemas of what is followed; recursion by `$ref` included. */
export const schemas: fc.Arbitrary<SchemaObject> = fc.letrec<{ schema: SchemaObject }>((tie) => ({
  schema: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaves,
    fc
      .tuple(
        fc.uniqueArray(fc.constantFrom(...names), { maxLength: 4 }),
        fc.array(tie('schema'), { minLength: 4, maxLength: 4 }),
        fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
        fc.constantFrom<unknown>(undefined, false, true, { type: 'integer' }),
      )
      .map(([keys, values, required, additionalProperties]) => ({
        type: 'object',
        properties: Object.fromEntries(keys.map((key, i) => [key, values[i]])),
        required: keys.filter((_, i) => required[i]),
        ...(additionalProperties === undefined ? {} : { additionalProperties }),
      })),
    fc
      .tuple(tie('schema'), fc.nat(2), fc.nat(3))
      .map(([items, min, more]) => ({ type: 'array', items, minItems: min, maxItems: min + more })),
    tie('schema').map((items) => ({ type: 'array', items })),
    fc
      .tuple(tie('schema'), tie('schema'))
      .map(([a, b]) => ({ type: 'array', prefixItems: [a, b], items: false, minItems: 1 })),
    fc.tuple(tie('schema'), tie('schema')).map(([a, b]) => ({ anyOf: [a, b] })),
    tie('schema').map((schema) => ({ allOf: [schema, { description: 'a note' }] })),
  ),
})).schema;

const someStrings = ['', 'x', 'hello', 'ü🌟', 'a "b" \\ c', 'line\nline', '\u0000'];
const patterns = new Map([
  ['^[a-c]{2,4}$', ['ab', 'abca']],
  ['^(foo|ba[rz]+)?$', ['', 'foo', 'barzz']],
  [String.raw`^\d{3}-[^x"]$`, ['123-a', '000-\n']],
]);
const formats = new Map([
  ['date', ['2024-02-29', '1999-12-31']],
  ['time', ['10:20:30Z', '23:59:59.123+01:00']],
  ['date-time', ['2026-11-22T10:20:30Z']],
  ['uuid', ['123e4567-e89b-12d3-a456-426614174000']],
  ['ipv4', ['192.168.0.255']],
  ['email', ['a.b@example.com']],
  ['duration', ['P3D', 'PT1H30M', 'P1Y2M3D']],
  ['hostname', ['a.example']],
  ['ipv6', ['2001:db8:0:0:0:0:0:1', '::1']],
  ['uri', ['https://example.com/a/b?c=d#e']],
]);

function randomString(schema: SchemaObject, random: Random): string {
  const { pattern, format, minLength, maxLength } = schema;
  if (typeof pattern === 'string') return pick(patterns.get(pattern) ?? [], random);
  if (typeof format === 'string') return pick(formats.get(format) ?? [], random);
  if (typeof minLength !== 'number') return pick(someStrings, random);
  const length = between(minLength, Number(maxLength), random);
  return Array.from({ length }, () => pick(['a', '"', '🌟', '\\', ' '], random)).join('');
}

function randomObject(schema: SchemaObject, random: Random): unknown {
  const required = schema['required'] as readonly string[];
  const entries = Object.entries(schema['properties'] as SchemaObject)
    .filter(([name]) => required.includes(name) || random() < 0.5)
    .map(([name, of]) => [name, randomInstance(of as SchemaObject, random)]);
  const { additionalProperties } = schema;
  if (additionalProperties && random() < 0.5)
    entries.push(['other', additionalProperties === true ? { any: [1, 'x', null] } : 7]);
  return Object.fromEntries(entries);
}

/** A value that the schema (one of `schemas`) allows. */
export function randomInstance(schema: SchemaObject, random: Random): unknown {
  const { type, enum: values, const: constant, anyOf, allOf } = schema;
  if (Array.isArray(values)) return pick(values, random);
  if (constant !== undefined) return constant;
  if (Array.isArray(anyOf)) return randomInstance(pick(anyOf, random) as SchemaObject, random);
  if (Array.isArray(allOf)) return randomInstance(allOf[0] as SchemaObject, random);
  switch (type) {
    case 'object':
      return randomObject(schema, random);
    case 'array': {
      const { items, prefixItems, minItems = 0, maxItems = 3 } = schema;
      if (Array.isArray(prefixItems)) {
        const all = prefixItems.map((item) => randomInstance(item as SchemaObject, random));
        return random() < 0.5 ? all : all.slice(0, 1);
      }
      const length = between(Number(minItems), Number(maxItems), random);
      return Array.from({ length }, () => randomInstance(items as SchemaObject, random));
    }
    case 'integer': {
      const { minimum = -1000, maximum = 1000 } = schema;
      return between(Number(minimum), Number(maximum), random);
    }
    case 'number': {
      const { exclusiveMinimum: low, maximum } = schema;
      if (low === undefined) return pick([0, -1.5, 1e10, 1e-7, 123.25], random);
      return pick([Number(low) + 1, Number(maximum), Number(low) + 0.25], random);
    }
    case 'boolean':
      return random() < 0.5;
    case 'null':
      return null;
    default:
      return Array.isArray(type) && random() < 0.5 ? null : randomString(schema, random);
  }
}
