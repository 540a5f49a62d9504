// Can a value match two schemas at once? `oneOf` may be read as `anyOf` only when it surely cannot. Says
// "disjoint" only on proof: different types, different constants, or a required property that tells the
// two apart.
import { isObject, jsonTypes, type SchemaObject } from './schema-keywords.ts';

const maxLevels = 4;

/** Follows references; gives what is not one. */
type Resolve = (schema: unknown) => unknown;

function typesOf(schema: SchemaObject): readonly unknown[] {
  const { type } = schema;
  const types = type === undefined ? jsonTypes : Array.isArray(type) ? type : [type];
  return schema['nullable'] === true ? [...types, 'null'] : types;
}

function constants({
  const: constant,
  enum: values,
  type,
}: SchemaObject): readonly unknown[] | null {
  if (constant !== undefined) return [constant];
  if (Array.isArray(values)) return values;
  return type === 'null' ? [null] : null;
}

const typesMeet = (a: readonly unknown[], b: readonly unknown[]): boolean => {
  const wide = (types: readonly unknown[]): unknown[] =>
    types.map((type) => (type === 'integer' ? 'number' : type));
  const other = wide(b);
  return wide(a).some((type) => other.includes(type));
};

const requires = (schema: SchemaObject, name: string): boolean =>
  Array.isArray(schema['required']) && schema['required'].includes(name);

/** Both require a property whose schemas are disjoint, and are objects only. */
function toldApart(a: SchemaObject, b: SchemaObject, resolve: Resolve, level: number): boolean {
  if (a['type'] !== 'object' || b['type'] !== 'object') return false;
  const { properties: left } = a;
  const { properties: right } = b;
  if (!isObject(left) || !isObject(right)) return false;
  return Object.keys(left).some(
    (name) =>
      Object.hasOwn(right, name) &&
      requires(a, name) &&
      requires(b, name) &&
      areDisjoint(left[name], right[name], resolve, level + 1),
  );
}

/** True when surely no value matches both. */
export function areDisjoint(a: unknown, b: unknown, resolve: Resolve, level = 0): boolean {
  const [left, right] = [resolve(a), resolve(b)];
  if (level > maxLevels || !isObject(left) || !isObject(right)) return false;
  if (!typesMeet(typesOf(left), typesOf(right))) return true;
  const [some, others] = [constants(left), constants(right)];
  if (some && others) {
    const spelled = new Set(others.map((value) => JSON.stringify(value)));
    return !some.some((value) => spelled.has(JSON.stringify(value)));
  }
  return toldApart(left, right, resolve, level);
}
