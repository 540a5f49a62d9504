// Which JSON schema keywords (2020-12, with the older spellings clients still send) are followed, which are
// notes for people, and how a refusal names the one that is neither. Nothing is ignored in silence.
import { CorralError } from '@corral/contracts';

/** A schema as an object; `true` and `false` are handled where they may stand. */
export type SchemaObject = Readonly<Record<string, unknown>>;

export type JsonType = 'object' | 'array' | 'string' | 'number' | 'integer' | 'boolean' | 'null';
export const jsonTypes: readonly JsonType[] = [
  'object',
  'array',
  'string',
  'number',
  'integer',
  'boolean',
  'null',
];

/** Say nothing about what is valid. */
const notes: ReadonlySet<string> = new Set([
  '$schema',
  '$id',
  'id',
  '$comment',
  '$anchor',
  '$defs',
  'definitions',
  'title',
  'description',
  'default',
  'example',
  'examples',
  'deprecated',
  'readOnly',
  'writeOnly',
  'strict',
]);

/** Followed whatever the type is. */
const general = ['$ref', 'type', 'enum', 'const', 'anyOf', 'oneOf', 'allOf', 'nullable'] as const;

/** Followed for values of one type; they also say which type is meant when `type` is absent. */
export const typeKeywords: Readonly<Record<string, JsonType>> = {
  properties: 'object',
  required: 'object',
  additionalProperties: 'object',
  items: 'array',
  prefixItems: 'array',
  additionalItems: 'array',
  minItems: 'array',
  maxItems: 'array',
  minLength: 'string',
  maxLength: 'string',
  pattern: 'string',
  format: 'string',
  minimum: 'number',
  maximum: 'number',
  exclusiveMinimum: 'number',
  exclusiveMaximum: 'number',
  multipleOf: 'number',
};

const known: ReadonlySet<string> = new Set([...general, ...Object.keys(typeKeywords), ...notes]);

export const isNote = (keyword: string): boolean => notes.has(keyword);

/** Where in a request a schema stands, in the words of requests: `tools[0].function.parameters`. */
export interface SchemaPlace {
  /** The outermost schema, where references start. */
  readonly root: string;
  readonly at: string;
}

export const schemaAt = (root: string): SchemaPlace => ({ root, at: root });

/** `a.b[0]["c d"]` */
const join = (path: string, key: string | number): string => {
  if (typeof key === 'number') return `${path}[${key}]`;
  return /^[\w$]+$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`;
};

export const inside = ({ root, at }: SchemaPlace, ...keys: (string | number)[]): SchemaPlace => ({
  root,
  at: keys.reduce<string>(join, at),
});

/** A keyword that is not followed. */
export const unsupported = ({ at }: SchemaPlace, keyword: string, why = ''): CorralError => {
  const param = join(at, keyword);
  const reason = `this keyword of JSON schema is not followed${why === '' ? '' : ` here (${why})`}`;
  return new CorralError('unsupported_parameter', { params: { param, reason }, param });
};

/** A schema that is wrong in itself. */
export const malformed = ({ at }: SchemaPlace, reason: string): CorralError =>
  new CorralError('invalid_request', {
    params: { reason: `the schema at ${at} cannot be used: ${reason}` },
    param: at,
  });

/** Throws CorralError `unsupported_parameter` for the first keyword that is not followed. */
export function checkKeywords(schema: SchemaObject, place: SchemaPlace): void {
  for (const keyword of Object.keys(schema))
    if (!known.has(keyword) && !keyword.startsWith('x-')) throw unsupported(place, keyword);
  const { multipleOf, format } = schema;
  if (multipleOf !== undefined && multipleOf !== 1)
    throw unsupported(place, 'multipleOf', 'only 1 is followed');
  if (format !== undefined && typeof format !== 'string')
    throw malformed(place, '"format" must be a string');
}

export const isObject = (value: unknown): value is SchemaObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The object that a keyword holds; empty when absent. */
export function objectAt(schema: SchemaObject, keyword: string, place: SchemaPlace): SchemaObject {
  const value = schema[keyword] ?? {};
  if (!isObject(value)) throw malformed(place, `"${keyword}" must be an object`);
  return value;
}

/** The array that a keyword holds; null when absent. */
export function arrayAt(
  schema: SchemaObject,
  keyword: string,
  place: SchemaPlace,
): readonly unknown[] | null {
  const value = schema[keyword];
  if (value === undefined) return null;
  if (!Array.isArray(value)) throw malformed(place, `"${keyword}" must be an array`);
  return value;
}

/** The number of a keyword; null when absent. `whole`: an integer from 0 on. */
export function numberAt(schema: SchemaObject, keyword: string, place: SchemaPlace): number | null {
  const value = schema[keyword];
  if (value === undefined) return null;
  if (typeof value !== 'number' || !Number.isFinite(value))
    throw malformed(place, `"${keyword}" must be a number`);
  return value;
}

export function countAt(schema: SchemaObject, keyword: string, place: SchemaPlace): number | null {
  const value = numberAt(schema, keyword, place);
  if (value !== null && (!Number.isSafeInteger(value) || value < 0))
    throw malformed(place, `"${keyword}" must be a whole number from 0 on`);
  return value;
}
