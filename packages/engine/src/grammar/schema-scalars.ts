// Grammars of strings and numbers from the keywords that bound them.
import type { Expression } from './expression.ts';
import { integersBetween } from './integer-range.ts';
import { anyInteger, anyNumber, anyString, quoted, stringOfLength } from './json-text.ts';
import { largestInteger, numbersBetween } from './number-range.ts';
import { PatternError, patternText } from './regex-pattern.ts';
import {
  countAt,
  malformed,
  numberAt,
  unsupported,
  type SchemaObject,
  type SchemaPlace,
} from './schema-keywords.ts';
import { numberFormats, stringFormats } from './string-formats.ts';

/** A bound above this costs more states than an answer has tokens. */
const maxBound = 10_000;

/** Smallest and largest count of two keywords. Throws CorralError. */
export function countBounds(
  schema: SchemaObject,
  [least, most]: readonly [string, string],
  place: SchemaPlace,
): readonly [min: number, max: number] {
  const min = countAt(schema, least, place) ?? 0;
  const max = countAt(schema, most, place) ?? Infinity;
  if (min > maxBound) throw unsupported(place, least, `more than ${maxBound}`);
  if (Number.isFinite(max) && max > maxBound)
    throw unsupported(place, most, `more than ${maxBound}`);
  if (min > max) throw malformed(place, `"${least}" is larger than "${most}"`);
  return [min, max];
}

function fromPattern(pattern: string, keyword: string, place: SchemaPlace): Expression {
  try {
    return quoted(patternText(pattern));
  } catch (error) {
    if (error instanceof PatternError) throw unsupported(place, keyword, error.message);
    throw error;
  }
}

/** `checkKeywords` has seen that it is a string. */
const formatOf = ({ format }: SchemaObject): string | undefined =>
  typeof format === 'string' ? format : undefined;

export function stringGrammar(schema: SchemaObject, place: SchemaPlace): Expression {
  const { pattern } = schema;
  const format = formatOf(schema);
  const bounds = countBounds(schema, ['minLength', 'maxLength'], place);
  const bounded = bounds[0] > 0 || Number.isFinite(bounds[1]);
  if (pattern !== undefined) {
    if (typeof pattern !== 'string') throw malformed(place, '"pattern" must be a string');
    if (format !== undefined) throw unsupported(place, 'format', 'together with "pattern"');
    if (bounded) throw unsupported(place, 'pattern', 'together with "minLength" or "maxLength"');
    return fromPattern(pattern, 'pattern', place);
  }
  if (format !== undefined) {
    const known = stringFormats.get(format);
    if (known === undefined) throw unsupported(place, 'format', `"${format}"`);
    if (bounded) throw unsupported(place, 'format', 'together with "minLength" or "maxLength"');
    return fromPattern(known, 'format', place);
  }
  return bounded ? stringOfLength(...bounds) : anyString;
}

interface Bound {
  readonly value: number;
  readonly exclusive: boolean;
}

/** The tighter of an inclusive and an exclusive bound; `sign` 1 for lower bounds, −1 for upper ones. */
function boundOf(
  schema: SchemaObject,
  keyword: 'minimum' | 'maximum',
  place: SchemaPlace,
): Bound | null {
  const exclusiveKeyword = keyword === 'minimum' ? 'exclusiveMinimum' : 'exclusiveMaximum';
  const value = numberAt(schema, keyword, place);
  // Draft 4: a flag beside the bound. Later: a bound of its own.
  const flag = schema[exclusiveKeyword];
  if (typeof flag === 'boolean') return value === null ? null : { value, exclusive: flag };
  const exclusive = numberAt(schema, exclusiveKeyword, place);
  if (exclusive === null) return value === null ? null : { value, exclusive: false };
  const sign = keyword === 'minimum' ? 1 : -1;
  return value !== null && sign * value > sign * exclusive
    ? { value, exclusive: false }
    : { value: exclusive, exclusive: true };
}

function checkNumberFormat(schema: SchemaObject, place: SchemaPlace): void {
  const format = formatOf(schema);
  if (format !== undefined && !numberFormats.has(format))
    throw unsupported(place, 'format', `"${format}" of a number`);
}

const noneBetween = (place: SchemaPlace): Error =>
  malformed(place, 'no number lies between its bounds');

export function integerGrammar(schema: SchemaObject, place: SchemaPlace): Expression {
  checkNumberFormat(schema, place);
  const [low, high] = [boundOf(schema, 'minimum', place), boundOf(schema, 'maximum', place)];
  if (!low && !high) return anyInteger;
  const from = low ? (low.exclusive ? Math.floor(low.value) + 1 : Math.ceil(low.value)) : -Infinity;
  const to = high
    ? high.exclusive
      ? Math.ceil(high.value) - 1
      : Math.floor(high.value)
    : Infinity;
  const found = integersBetween(Math.max(from, -largestInteger), Math.min(to, largestInteger));
  if (!found) throw noneBetween(place);
  return found;
}

export function numberGrammar(schema: SchemaObject, place: SchemaPlace): Expression {
  checkNumberFormat(schema, place);
  if (schema['multipleOf'] === 1) return integerGrammar(schema, place);
  const [low, high] = [boundOf(schema, 'minimum', place), boundOf(schema, 'maximum', place)];
  if (!low && !high) return anyNumber;
  for (const [keyword, bound] of [
    ['minimum', low],
    ['maximum', high],
  ] as const)
    if (bound && !Number.isSafeInteger(bound.value))
      throw unsupported(place, keyword, 'a bound of a number that is no integer');
  const found = numbersBetween({
    minimum: Math.max(low?.value ?? -largestInteger, -largestInteger),
    maximum: Math.min(high?.value ?? largestInteger, largestInteger),
    exclusiveMinimum: low?.exclusive ?? false,
    exclusiveMaximum: high?.exclusive ?? false,
  });
  if (!found) throw noneBetween(place);
  return found;
}
