// Grammars of objects and arrays. Properties come in the order they are declared, optional ones may be left
// out; other names, where they are allowed, come behind and never repeat a declared one.
import {
  call,
  choice,
  complement,
  createRule,
  empty,
  literal,
  repeat,
  sequence,
  type CodeRange,
  type Expression,
} from './expression.ts';
import {
  anyArray,
  anyObject,
  anyString,
  bracketed,
  comma,
  jsonCharacter,
  member,
  quoted,
  space,
} from './json-text.ts';
import {
  arrayAt,
  inside,
  isObject,
  malformed,
  objectAt,
  unsupported,
  type SchemaObject,
  type SchemaPlace,
} from './schema-keywords.ts';
import { countBounds } from './schema-scalars.ts';

/** Compiles a schema inside the one at hand. */
export type CompileSchema = (schema: unknown, place: SchemaPlace) => Expression;

/** More make a single step of the grammar slow. */
const maxProperties = 1000;
/** Items with schemas of their own: each lies inside the one before it. */
const maxFirstItems = 1000;
/** Characters of a name. */
const maxName = 256;

interface Property {
  readonly name: string;
  readonly pair: Expression;
  readonly required: boolean;
}

const pairOf = (name: string, value: Expression): Expression =>
  call(createRule(name, member(literal(JSON.stringify(name)), value)));

function propertiesOf(
  schema: SchemaObject,
  place: SchemaPlace,
  compile: CompileSchema,
): Property[] {
  const declared = objectAt(schema, 'properties', place);
  const required = new Set((arrayAt(schema, 'required', place) ?? []).map(String));
  const undeclared = [...required].filter((name) => !Object.hasOwn(declared, name));
  const others = schema['additionalProperties'];
  if (undeclared.length > 0 && others === false)
    throw malformed(place, `"${undeclared[0]}" is required, but no such property is allowed`);
  if (Object.keys(declared).length + undeclared.length > maxProperties)
    throw malformed(place, `it has more than ${maxProperties} properties`);
  const long = [...Object.keys(declared), ...undeclared].find((name) => name.length > maxName);
  if (long !== undefined)
    throw malformed(place, `a property has a name of more than ${maxName} characters`);
  const property = (name: string, of: unknown, at: SchemaPlace): Property => ({
    name,
    pair: pairOf(name, compile(of, at)),
    required: required.has(name),
  });
  return [
    ...Object.entries(declared).map(([name, of]) =>
      property(name, of, inside(place, 'properties', name)),
    ),
    ...undeclared.map((name) =>
      property(name, others ?? true, inside(place, 'additionalProperties')),
    ),
  ];
}

/** Raw characters of a string that is none of `names`; no escapes, so that none can be spelled anew. */
function otherName(names: readonly string[]): Expression {
  const raw: CodeRange[] = complement([
    [0, 31],
    [34, 34],
    [92, 92],
  ]);
  const rest = repeat(jsonCharacter(raw));
  const differs = (group: readonly string[], depth: number): Expression => {
    const byCharacter = Map.groupBy(
      group.filter((name) => name.length > depth),
      (name) => String.fromCodePoint(name.codePointAt(depth) ?? 0),
    );
    const used = [...byCharacter.keys()].map((c): CodeRange => {
      const code = c.codePointAt(0) ?? 0;
      return [code, code];
    });
    const away = sequence(jsonCharacter(complement([...complement(raw), ...used])), rest);
    const along = Array.from(byCharacter, ([c, longer]) =>
      sequence(
        jsonCharacter([[c.codePointAt(0) ?? 0, c.codePointAt(0) ?? 0]]),
        differs(longer, depth + c.length),
      ),
    );
    const endsHere = group.some((name) => name.length === depth);
    return choice(...(endsHere ? [] : [empty]), away, ...along);
  };
  // Names that need escapes cannot be written here anyway.
  const plain = names.filter((name) => JSON.stringify(name) === `"${name}"`);
  return quoted(plain.length === 0 ? rest : differs(plain, 0));
}

/** Members in order: before the first is written there is no comma, afterwards there is one before each. */
function membersInOrder(properties: readonly Property[], others: Expression | null): Expression {
  const further = others ? repeat(sequence(comma, others)) : empty;
  let before = others ? choice(empty, sequence(others, further)) : empty;
  let after = further;
  for (const { name, pair, required } of properties.toReversed()) {
    const rest = call(createRule(`after ${name}`, after));
    const first = sequence(pair, rest);
    const next = sequence(comma, pair, rest);
    before = required ? first : choice(first, before);
    after = required ? next : choice(next, rest);
  }
  return before;
}

export function objectGrammar(
  schema: SchemaObject,
  place: SchemaPlace,
  compile: CompileSchema,
): Expression {
  const properties = propertiesOf(schema, place, compile);
  const additional = schema['additionalProperties'];
  if (additional !== undefined && typeof additional !== 'boolean' && !isObject(additional))
    throw malformed(place, '"additionalProperties" must be a schema');
  if (properties.length === 0 && (additional === undefined || additional === true))
    return schema['properties'] === undefined || additional === true ? anyObject : literal('{}');
  const open = additional === true || isObject(additional);
  const others = open
    ? call(
        createRule(
          'other property',
          member(
            properties.length === 0 ? anyString : otherName(properties.map(({ name }) => name)),
            compile(additional, inside(place, 'additionalProperties')),
          ),
        ),
      )
    : null;
  const members = membersInOrder(properties, others);
  const full = bracketed('{', members, '}');
  return properties.some(({ required }) => required) ? full : choice(literal('{}'), full);
}

interface Items {
  /** The schemas of the first items. */
  readonly first: readonly unknown[];
  /** Of all others; null when there are none. */
  readonly rest: { readonly schema: unknown; readonly keyword: string } | null;
}

/** The two spellings of tuples: `prefixItems` + `items`, and the older `items` list + `additionalItems`. */
function itemsOf(schema: SchemaObject, place: SchemaPlace): Items {
  const older = Array.isArray(schema['items']);
  const first = arrayAt(schema, older ? 'items' : 'prefixItems', place) ?? [];
  const keyword = older ? 'additionalItems' : 'items';
  const others = schema[keyword];
  if (others === false || (others === undefined && first.length > 0)) return { first, rest: null };
  return { first, rest: { schema: others ?? true, keyword } };
}

export function arrayGrammar(
  schema: SchemaObject,
  place: SchemaPlace,
  compile: CompileSchema,
): Expression {
  const [min, most] = countBounds(schema, ['minItems', 'maxItems'], place);
  const { first, rest } = itemsOf(schema, place);
  if (first.length > maxFirstItems)
    throw malformed(place, `it has more than ${maxFirstItems} items of their own`);
  if (schema['items'] === undefined && first.length === 0 && min === 0 && most === Infinity)
    return anyArray;
  const max = rest ? most : Math.min(most, first.length);
  if (min > max) throw unsupported(place, 'minItems', 'more than the items that are declared');
  const heads = first
    .slice(0, max)
    .map((item, i) => compile(item, inside(place, 'prefixItems', i)));
  const tail =
    rest && max > heads.length
      ? call(createRule('item', compile(rest.schema, inside(place, rest.keyword))))
      : null;
  // From the back: what may follow item i, each with its comma.
  const left = heads.length;
  let items: Expression = tail
    ? repeat(sequence(comma, tail), Math.max(0, min - left), max - left)
    : empty;
  if (left === 0 && tail) {
    const more = sequence(tail, repeat(sequence(comma, tail), Math.max(0, min - 1), max - 1));
    return min === 0 ? choice(literal('[]'), bracketed('[', more, ']')) : bracketed('[', more, ']');
  }
  for (let i = left - 1; i >= 0; i--) {
    const written = sequence(...(i > 0 ? [comma] : []), heads[i] ?? empty, items);
    items = i >= min ? choice(empty, written) : written;
  }
  return sequence(literal('['), space, items, space, literal(']'));
}
