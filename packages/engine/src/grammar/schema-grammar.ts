// JSON schema to grammar: what may be written is a subset of what the schema allows, and every keyword is
// followed or refused by name. An object that declares properties and says nothing of others has no
// others; `oneOf` is read as `anyOf` where its branches surely exclude each other. Sources: JSON Schema
// 2020-12 (core, validation).
import {
  call,
  choice,
  createRule,
  literal,
  literals,
  type Expression,
  type Rule,
} from './expression.ts';
import { anyValue } from './json-text.ts';
import { arrayGrammar, objectGrammar, type CompileSchema } from './schema-containers.ts';
import {
  arrayAt,
  checkKeywords,
  inside,
  isNote,
  isObject,
  jsonTypes,
  malformed,
  typeKeywords,
  unsupported,
  type JsonType,
  type SchemaObject,
  type SchemaPlace,
} from './schema-keywords.ts';
import { mergeSchemas, resolvePointer, same } from './schema-merge.ts';
import { areDisjoint } from './schema-overlap.ts';
import { integerGrammar, numberGrammar, stringGrammar } from './schema-scalars.ts';

/** Characters of a schema as JSON. */
const maxSchemaLength = 262_144;
/** Schemas inside schemas, merged ones included. */
const maxNesting = 64;
/** Schemas that one schema may lead to; merging can multiply them. */
const maxSchemas = 20_000;

/** Schemas merged into one; written out, `allOf` of `allOf` can double with each level. */
const maxMerged = 256;
/** Branches of `oneOf`, which are compared each with each. */
const maxBranches = 128;

type TypeGrammar = (schema: SchemaObject, place: SchemaPlace, compile: CompileSchema) => Expression;

const typeGrammars: Record<JsonType, TypeGrammar> = {
  object: objectGrammar,
  array: arrayGrammar,
  string: stringGrammar,
  number: numberGrammar,
  integer: integerGrammar,
  boolean: () => literals(['true', 'false']),
  null: () => literal('null'),
};

const typeOf = (value: unknown): JsonType => {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value as JsonType;
};

/** Types the schema names, or those its keywords are about; null: any. */
function typesOf(schema: SchemaObject, place: SchemaPlace): readonly JsonType[] | null {
  const { type } = schema;
  if (type === undefined) {
    const implied = Object.keys(schema).flatMap((keyword) => typeKeywords[keyword] ?? []);
    return implied.length === 0 ? null : [...new Set(implied)];
  }
  const types: readonly unknown[] = Array.isArray(type) ? type : [type];
  const wrong = types.find((name) => !(jsonTypes as readonly unknown[]).includes(name));
  if (wrong !== undefined || types.length === 0)
    throw malformed(place, `"type" is ${JSON.stringify(type)}`);
  return types as readonly JsonType[];
}

class SchemaCompiler {
  readonly #root: unknown;
  readonly #references = new Map<string, Rule>();
  #nesting = 0;
  #schemas = 0;

  constructor(root: unknown) {
    this.#root = root;
  }

  readonly compile: CompileSchema = (schema, place) => {
    if (schema === true) return anyValue;
    if (!isObject(schema))
      throw malformed(place, schema === false ? 'nothing is allowed here' : 'it is no schema');
    if (++this.#nesting > maxNesting)
      throw malformed(place, `schemas are nested deeper than ${maxNesting}`);
    if (++this.#schemas > maxSchemas)
      throw malformed(place, `it leads to more than ${maxSchemas} schemas`);
    checkKeywords(schema, place);
    const found = this.#dispatch(schema, place);
    this.#nesting--;
    return found;
  };

  #dispatch(schema: SchemaObject, place: SchemaPlace): Expression {
    const { $ref, allOf, anyOf, oneOf } = schema;
    const own = Object.keys(schema).filter((keyword) => !isNote(keyword));
    if (own.length === 1 && typeof $ref === 'string') return this.#reference($ref, place);
    if ($ref !== undefined || allOf !== undefined)
      return this.compile(this.#merged(schema, place), place);
    if (anyOf !== undefined) return this.#branches(schema, 'anyOf', place);
    if (oneOf !== undefined) return this.#branches(schema, 'oneOf', place);
    return this.#plain(schema, place);
  }

  /** One rule a target, so that a schema may contain itself. */
  #reference(pointer: string, place: SchemaPlace): Expression {
    let rule = this.#references.get(pointer);
    if (!rule) {
      rule = createRule(pointer);
      this.#references.set(pointer, rule);
      const target = resolvePointer(this.#root, pointer, place);
      const keys = pointer.split('/').slice(1);
      rule.body = this.compile(target, inside({ ...place, at: place.root }, ...keys));
    }
    return call(rule);
  }

  /** The schema with its references and `allOf` written out. */
  #merged(schema: SchemaObject, place: SchemaPlace): SchemaObject {
    const { $ref, allOf: _, ...rest } = schema;
    const parts = [...(arrayAt(schema, 'allOf', place) ?? [])];
    if ($ref !== undefined) parts.push({ $ref });
    if (parts.length > maxMerged)
      throw unsupported(place, 'allOf', `more than ${maxMerged} schemas`);
    let merged: SchemaObject = rest;
    for (const [i, part] of parts.entries()) {
      const at = inside(place, 'allOf', i);
      const resolved = this.#resolve(part, at);
      if (resolved === true) continue;
      if (!isObject(resolved)) throw malformed(at, 'nothing is allowed here');
      checkKeywords(resolved, at);
      merged = mergeSchemas(merged, resolved, at);
    }
    return merged;
  }

  /** What a chain of bare references leads to. */
  #resolve(schema: unknown, place: SchemaPlace): unknown {
    let found = schema;
    for (let steps = 0; isObject(found) && typeof found['$ref'] === 'string'; steps++) {
      const { $ref, ...rest } = found;
      if (steps > maxNesting) throw malformed(place, '"$ref" leads in a circle');
      const target = resolvePointer(this.#root, $ref, place);
      const bare = Object.keys(rest).every(isNote);
      found = bare || !isObject(target) ? target : mergeSchemas(rest, target, place);
    }
    return found;
  }

  #branches(schema: SchemaObject, keyword: 'anyOf' | 'oneOf', place: SchemaPlace): Expression {
    const { [keyword]: _, ...base } = schema;
    const branches = arrayAt(schema, keyword, place) ?? [];
    if (branches.length === 0) throw malformed(place, `"${keyword}" is empty`);
    if (keyword === 'oneOf') this.#checkDisjoint(branches, place);
    const bare = Object.keys(base).every(isNote);
    const options = branches.map((branch, i) => {
      const at = inside(place, keyword, i);
      if (bare) return this.compile(branch, at);
      const resolved = this.#resolve(branch, at);
      if (resolved === true) return this.compile(base, at);
      if (!isObject(resolved)) throw malformed(at, 'nothing is allowed here');
      checkKeywords(resolved, at);
      return this.compile(mergeSchemas(base, resolved, at), at);
    });
    return choice(...options);
  }

  #checkDisjoint(branches: readonly unknown[], place: SchemaPlace): void {
    if (branches.length > maxBranches)
      throw unsupported(place, 'oneOf', `more than ${maxBranches} branches; use anyOf`);
    const resolve = (schema: unknown): unknown => this.#resolve(schema, place);
    for (const [i, branch] of branches.entries())
      for (let j = 0; j < i; j++)
        if (!areDisjoint(branches[j], branch, resolve))
          throw unsupported(
            place,
            'oneOf',
            `branches ${j} and ${i} may both match; use anyOf, or give them a required constant that differs`,
          );
  }

  #plain(schema: SchemaObject, place: SchemaPlace): Expression {
    const types = typesOf(schema, place);
    const nullable = schema['nullable'] === true;
    const values = this.#values(schema, types, place);
    if (values)
      return literals(nullable && !values.includes('null') ? [...values, 'null'] : values);
    if (!types) return anyValue;
    const all = new Set(nullable ? [...types, 'null' as const] : types);
    if (all.has('number')) all.delete('integer');
    return choice(...Array.from(all, (type) => typeGrammars[type](schema, place, this.compile)));
  }

  /** The constants of `const` and `enum` that the type allows, as JSON; null when there are none given. */
  #values(
    schema: SchemaObject,
    types: readonly JsonType[] | null,
    place: SchemaPlace,
  ): string[] | null {
    const { const: constant } = schema;
    const listed = arrayAt(schema, 'enum', place);
    if (constant === undefined && !listed) return null;
    const others = Object.keys(schema).find((keyword) => typeKeywords[keyword] !== undefined);
    if (others !== undefined) throw unsupported(place, others, 'beside "enum" or "const"');
    const values = (listed ?? [constant]).filter(
      (value) =>
        (constant === undefined || same(value, constant)) &&
        (!types ||
          types.includes(typeOf(value)) ||
          (typeOf(value) === 'integer' && types.includes('number')) ||
          (value === null && schema['nullable'] === true)),
    );
    if (values.length === 0) throw malformed(place, 'none of its values is possible');
    return [...new Set(values.map((value) => JSON.stringify(value)))];
  }
}

/**
 * What a JSON value of this schema may look like. `place` says where the schema stands in the request.
 * Throws CorralError `unsupported_parameter` naming the keyword, or `invalid_request`.
 */
export function schemaExpression(schema: unknown, place: SchemaPlace): Expression {
  const length = JSON.stringify(schema).length;
  if (length > maxSchemaLength)
    throw malformed(place, `it has ${length} characters; the limit is ${maxSchemaLength}`);
  return new SchemaCompiler(schema).compile(schema, place);
}
