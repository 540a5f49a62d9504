// The typed key/value pairs at the head of a GGUF file: what a value may be, how to make one, and how
// to ask for one of a known kind. Knows nothing of bytes (gguf-reader.ts) nor of what the keys mean.
// Source: docs/gguf.md of the ggml repository.
import { FormatError } from './format-error.ts';

/** Value types with their numeric id in the file. */
export const ggufValueTypes = {
  uint8: 0,
  int8: 1,
  uint16: 2,
  int16: 3,
  uint32: 4,
  int32: 5,
  float32: 6,
  bool: 7,
  string: 8,
  array: 9,
  uint64: 10,
  int64: 11,
  float64: 12,
} as const;
export type GgufValueType = keyof typeof ggufValueTypes;
export type GgufNumberType = Exclude<
  GgufValueType,
  'bool' | 'string' | 'array' | 'uint64' | 'int64'
>;

export type GgufNumericArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;

/** Items of an array value; numbers lie in the typed array of their type. */
export type GgufArray =
  | {
      readonly itemType: GgufNumberType | 'uint64' | 'int64';
      readonly items: GgufNumericArray;
    }
  | { readonly itemType: 'bool'; readonly items: readonly boolean[] }
  | { readonly itemType: 'string'; readonly items: readonly string[] }
  | { readonly itemType: 'array'; readonly items: readonly GgufArray[] };

export type GgufValue =
  | { readonly type: GgufNumberType; readonly value: number }
  | { readonly type: 'uint64' | 'int64'; readonly value: bigint }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'array'; readonly value: GgufArray };

/** In the order of the file. */
export type GgufMetadata = ReadonlyMap<string, GgufValue>;

const array = (value: GgufArray): GgufValue => ({ type: 'array', value });

/** Makers of the values that model files need. */
export const gguf = {
  string: (value: string): GgufValue => ({ type: 'string', value }),
  bool: (value: boolean): GgufValue => ({ type: 'bool', value }),
  uint32: (value: number): GgufValue => ({ type: 'uint32', value }),
  float32: (value: number): GgufValue => ({ type: 'float32', value }),
  strings: (items: readonly string[]): GgufValue => array({ itemType: 'string', items }),
  int32s: (items: ArrayLike<number>): GgufValue =>
    array({ itemType: 'int32', items: Int32Array.from(items) }),
  float32s: (items: ArrayLike<number>): GgufValue =>
    array({ itemType: 'float32', items: Float32Array.from(items) }),
};

const describe = (value: GgufValue): string =>
  value.type === 'array' ? `an array of ${value.value.itemType}` : value.type;

function wrong(key: string, expected: string, found: GgufValue): FormatError {
  return new FormatError(
    `the metadata key "${key}" must be ${expected}, but is ${describe(found)}`,
  );
}

/** The string under `key`, undefined when absent; FormatError when it is something else. */
export function metadataString(metadata: GgufMetadata, key: string): string | undefined {
  const found = metadata.get(key);
  if (found === undefined) return undefined;
  if (found.type !== 'string') throw wrong(key, 'a string', found);
  return found.value;
}

export function metadataBoolean(metadata: GgufMetadata, key: string): boolean | undefined {
  const found = metadata.get(key);
  if (found === undefined) return undefined;
  if (found.type !== 'bool') throw wrong(key, 'a bool', found);
  return found.value;
}

/** Any integer or float under `key` as a number; 64-bit integers past 2^53 are an error. */
export function metadataNumber(metadata: GgufMetadata, key: string): number | undefined {
  const found = metadata.get(key);
  if (found === undefined) return undefined;
  if (found.type === 'string' || found.type === 'bool' || found.type === 'array')
    throw wrong(key, 'a number', found);
  const value = Number(found.value);
  if (typeof found.value === 'bigint' && !Number.isSafeInteger(value))
    throw new FormatError(`the metadata key "${key}" is ${found.value}, which is out of range`);
  return value;
}

/** The strings under `key`, undefined when absent. */
export function metadataStrings(
  metadata: GgufMetadata,
  key: string,
): readonly string[] | undefined {
  const found = metadata.get(key);
  if (found === undefined) return undefined;
  if (found.type !== 'array' || found.value.itemType !== 'string')
    throw wrong(key, 'an array of strings', found);
  return found.value.items;
}

/** The numbers under `key` (up to 32 bits wide, or float64), undefined when absent. */
export function metadataNumbers(
  metadata: GgufMetadata,
  key: string,
): ArrayLike<number> | undefined {
  const found = metadata.get(key);
  if (found === undefined) return undefined;
  if (found.type !== 'array') throw wrong(key, 'an array of numbers', found);
  const { itemType, items } = found.value;
  if (itemType === 'bool' || itemType === 'string' || itemType === 'array')
    throw wrong(key, 'an array of numbers', found);
  if (items instanceof BigInt64Array || items instanceof BigUint64Array)
    throw wrong(key, 'an array of numbers of at most 32 bits', found);
  return items;
}
