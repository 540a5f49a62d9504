// Canonical JSON (RFC 8785, JCS): one value, one text, so that hashes and signatures agree between
// programs. ECMAScript's own number and string output is what the RFC prescribes; what is added here
// is the order of keys (UTF-16 code units) and the refusal of everything JSON cannot carry.
import { EvidenceError } from './evidence-error.ts';

/** Deeper values are refused: recursion must not be steerable from outside. */
const maxDepth = 128;

const refuse = (path: string, reason: string): never => {
  throw new EvidenceError('value_refused', `${path === '' ? 'The value' : path} ${reason}`);
};

function writeString(text: string, path: string): string {
  if (!text.isWellFormed()) refuse(path, 'holds a lone surrogate, which UTF-8 cannot carry');
  return JSON.stringify(text);
}

function writeObject(value: object, path: string, depth: number): string {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    refuse(path, 'is not a plain object or array');
  }
  // The default sort compares UTF-16 code units, as RFC 8785 3.2.3 asks.
  const members = Object.entries(value)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, member]) => {
      const at = `${path}.${key}`;
      return `${writeString(key, at)}:${write(member, at, depth + 1)}`;
    });
  return `{${members.join(',')}}`;
}

function write(value: unknown, path: string, depth: number): string {
  if (depth > maxDepth) refuse(path, `is nested deeper than ${maxDepth} levels`);
  switch (typeof value) {
    case 'string':
      return writeString(value, path);
    case 'boolean':
      return value ? 'true' : 'false';
    case 'number':
      if (!Number.isFinite(value)) refuse(path, `is ${value}, which JSON cannot carry`);
      return JSON.stringify(value);
    case 'object': {
      if (value === null) return 'null';
      if (!Array.isArray(value)) return writeObject(value, path, depth);
      const items = Array.from(value, (item, at) => write(item, `${path}[${at}]`, depth + 1));
      return `[${items.join(',')}]`;
    }
    case 'undefined':
    case 'bigint':
    case 'symbol':
    case 'function':
    default:
      return refuse(path, `is of type ${typeof value}, which JSON cannot carry`);
  }
}

/**
 * The RFC 8785 text of a JSON value.
 * Throws EvidenceError `value_refused`, naming the path, for NaN, Infinity, undefined, bigint, symbols,
 * functions, class instances (Date included), lone surrogates, cycles and nesting beyond 128 levels.
 */
export const canonicalJson = (value: unknown): string => write(value, '', 0);

/** Parses text that must already be canonical; throws `not_canonical` for any other spelling. */
export function parseCanonicalJson(text: string): unknown {
  let value: unknown;
  let canonical: string;
  try {
    value = JSON.parse(text);
    canonical = canonicalJson(value);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new EvidenceError('not_canonical', `Not canonical JSON: ${reason}`);
  }
  if (canonical !== text) {
    throw new EvidenceError('not_canonical', 'JSON, but not in its canonical spelling (RFC 8785)');
  }
  return value;
}
