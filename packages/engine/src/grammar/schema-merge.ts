// One schema that says what two say together (`allOf`, and keywords beside `$ref` or `anyOf`). Where two
// keywords have no simple meet, the merge is refused by name.
import {
  arrayAt,
  isNote,
  isObject,
  malformed,
  objectAt,
  unsupported,
  type SchemaObject,
  type SchemaPlace,
} from './schema-keywords.ts';

export const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

type Meet = (a: unknown, b: unknown, place: SchemaPlace) => unknown;

const larger: Meet = (a, b) => Math.max(Number(a), Number(b));
const smaller: Meet = (a, b) => Math.min(Number(a), Number(b));
const both: Meet = (a, b) => (same(a, b) ? a : { allOf: [a, b] });
const equal =
  (keyword: string): Meet =>
  (a, b, place) => {
    if (same(a, b)) return a;
    throw unsupported(place, keyword, 'two different ones that must both hold');
  };

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [value]);

/** Types that both allow; every integer is a number. */
const meetTypes: Meet = (a, b, place) => {
  const [left, right] = [listOf(a), listOf(b)];
  const has = (types: readonly unknown[], type: unknown): boolean =>
    types.includes(type) || (type === 'integer' && types.includes('number'));
  const types = [...new Set([...left, ...right])].filter(
    (type) => has(left, type) && has(right, type),
  );
  if (types.length === 0) throw malformed(place, 'no value has both types');
  return types.length === 1 ? types[0] : types;
};

const meetProperties: Meet = (a, b, place) => {
  // By way of a map: a property may be called "__proto__".
  const merged = new Map(Object.entries(objectAt({ a }, 'a', place)));
  for (const [name, schema] of Object.entries(objectAt({ b }, 'b', place)))
    merged.set(name, merged.has(name) ? both(merged.get(name), schema, place) : schema);
  return Object.fromEntries(merged);
};

const meetEnums: Meet = (a, b, place) => {
  const others = new Set(listOf(b).map((value) => JSON.stringify(value)));
  const values = listOf(a).filter((value) => others.has(JSON.stringify(value)));
  if (values.length === 0) throw malformed(place, 'no value is in both enums');
  return values;
};

const meets: Readonly<Record<string, Meet>> = {
  type: meetTypes,
  properties: meetProperties,
  required: (a, b) => [...new Set([...listOf(a), ...listOf(b)])],
  enum: meetEnums,
  allOf: (a, b) => [...listOf(a), ...listOf(b)],
  items: both,
  minItems: larger,
  maxItems: smaller,
  minLength: larger,
  maxLength: smaller,
  minimum: larger,
  maximum: smaller,
  exclusiveMinimum: larger,
  exclusiveMaximum: smaller,
  nullable: (a, b) => a === true && b === true,
  additionalProperties: (a, b, place) => (a === false || b === false ? false : both(a, b, place)),
};

/** A schema that allows no other properties says so of those of its neighbour, too. */
function checkClosed(closed: SchemaObject, other: SchemaObject, place: SchemaPlace): void {
  if (closed['additionalProperties'] !== false) return;
  const own = objectAt(closed, 'properties', place);
  const names = [
    ...Object.keys(objectAt(other, 'properties', place)),
    ...(arrayAt(other, 'required', place) ?? []).map(String),
  ];
  if (names.some((name) => !Object.hasOwn(own, name)))
    throw unsupported(place, 'additionalProperties', 'false beside a schema with other properties');
}

/** What both schemas say. Throws CorralError. */
export function mergeSchemas(a: SchemaObject, b: SchemaObject, place: SchemaPlace): SchemaObject {
  checkClosed(a, b, place);
  checkClosed(b, a, place);
  const merged = new Map(Object.entries(a).filter(([keyword]) => !isNote(keyword)));
  for (const [keyword, value] of Object.entries(b)) {
    if (isNote(keyword)) continue;
    const meet = meets[keyword] ?? equal(keyword);
    merged.set(keyword, merged.has(keyword) ? meet(merged.get(keyword), value, place) : value);
  }
  return Object.fromEntries(merged);
}

/** What `#/a/b` points at. Throws CorralError. */
export function resolvePointer(root: unknown, pointer: string, place: SchemaPlace): unknown {
  if (pointer !== '#' && !pointer.startsWith('#/'))
    throw unsupported(place, '$ref', `"${pointer}" is not in this schema`);
  let found = root;
  for (const part of pointer.split('/').slice(1)) {
    const key = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~');
    const has = typeof found === 'object' && found !== null && Object.hasOwn(found, key);
    if (!has) throw malformed(place, `"$ref" "${pointer}" leads nowhere`);
    found = (found as SchemaObject)[key];
  }
  if (!isObject(found) && typeof found !== 'boolean')
    throw malformed(place, `"$ref" "${pointer}" is no schema`);
  return found;
}
