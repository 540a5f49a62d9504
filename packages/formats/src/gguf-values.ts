// Reads the typed values of GGUF metadata. Every count is compared with its limit and with what is left
// of the file before it is believed. Knows nothing of what the keys mean.
import { FormatError } from './format-error.ts';
import {
  ggufValueTypes,
  type GgufArray,
  type GgufMetadata,
  type GgufNumberType,
  type GgufNumericArray,
  type GgufValue,
  type GgufValueType,
} from './gguf-metadata.ts';
import type { HeaderCursor } from './header-cursor.ts';
import {
  maxGgufArrayDepth,
  maxGgufArrayItems,
  maxGgufKeyBytes,
  maxGgufStringBytes,
  maxGgufTotalItems,
} from './limits.ts';

type NumericType = GgufNumberType | 'uint64' | 'int64';

interface NumberFormat {
  readonly bytes: number;
  readonly read: (cursor: HeaderCursor) => number;
}

/** Bytes of a number, and how one is read. */
const numeric: Record<GgufNumberType, NumberFormat> = {
  uint8: { bytes: 1, read: (cursor) => cursor.uint8() },
  int8: { bytes: 1, read: (cursor) => cursor.int8() },
  uint16: { bytes: 2, read: (cursor) => cursor.uint16() },
  int16: { bytes: 2, read: (cursor) => cursor.int16() },
  uint32: { bytes: 4, read: (cursor) => cursor.uint32() },
  int32: { bytes: 4, read: (cursor) => cursor.int32() },
  float32: { bytes: 4, read: (cursor) => cursor.float32() },
  float64: { bytes: 8, read: (cursor) => cursor.float64() },
};

type ArrayMaker = (buffer: ArrayBuffer) => GgufNumericArray;
const arrayMakers: Record<NumericType, ArrayMaker> = {
  uint8: (buffer) => new Uint8Array(buffer),
  int8: (buffer) => new Int8Array(buffer),
  uint16: (buffer) => new Uint16Array(buffer),
  int16: (buffer) => new Int16Array(buffer),
  uint32: (buffer) => new Uint32Array(buffer),
  int32: (buffer) => new Int32Array(buffer),
  float32: (buffer) => new Float32Array(buffer),
  float64: (buffer) => new Float64Array(buffer),
  uint64: (buffer) => new BigUint64Array(buffer),
  int64: (buffer) => new BigInt64Array(buffer),
};

/** The least bytes that one item of an array takes in the file. */
const minItemBytes: Record<GgufValueType, number> = {
  ...(Object.fromEntries(
    Object.entries(numeric).map(([type, { bytes }]) => [type, bytes]),
  ) as Record<GgufNumberType, number>),
  uint64: 8,
  int64: 8,
  bool: 1,
  string: 8,
  array: 12,
};

const typeById = new Map<number, GgufValueType>(
  Object.entries(ggufValueTypes).map(([name, id]) => [id, name as GgufValueType]),
);

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** `count` length-prefixed UTF-8 strings of at most `maxBytes` each; waits only where the window ends. */
async function readStrings(
  cursor: HeaderCursor,
  what: string,
  { count, maxBytes }: { readonly count: number; readonly maxBytes: number },
): Promise<string[]> {
  const items: string[] = [];
  const lengthOf = `the length of ${what}`;
  while (items.length < count) {
    if (!cursor.has(8)) await cursor.need(8, what);
    const length = cursor.count(lengthOf, maxBytes, 1);
    if (!cursor.has(length)) await cursor.need(length, what);
    const at = cursor.position;
    try {
      items.push(decoder.decode(cursor.bytes(length)));
    } catch (cause) {
      throw new FormatError(`${what} at byte ${at} is not UTF-8`, { cause });
    }
  }
  return items;
}

/** A length-prefixed UTF-8 string of at most `maxBytes`. */
export async function readGgufString(
  cursor: HeaderCursor,
  what: string,
  maxBytes: number,
): Promise<string> {
  const [text = ''] = await readStrings(cursor, what, { count: 1, maxBytes });
  return text;
}

async function readType(cursor: HeaderCursor, what: string): Promise<GgufValueType> {
  await cursor.need(4, what);
  const at = cursor.position;
  const id = cursor.uint32();
  const type = typeById.get(id);
  if (type === undefined) throw new FormatError(`${what} at byte ${at} is ${id}, which is unknown`);
  return type;
}

/** What is left of maxGgufTotalItems while one file is read. */
interface ItemBudget {
  items: number;
}

async function readArray(
  cursor: HeaderCursor,
  key: string,
  budget: ItemBudget,
  depth: number,
): Promise<GgufArray> {
  if (depth > maxGgufArrayDepth)
    throw new FormatError(`"${key}" nests arrays deeper than ${maxGgufArrayDepth}`);
  const itemType = await readType(cursor, `the item type of "${key}"`);
  await cursor.need(8, `the length of "${key}"`);
  const what = `the number of items of "${key}"`;
  const count = cursor.count(what, maxGgufArrayItems, minItemBytes[itemType]);
  budget.items -= count;
  if (budget.items < 0)
    throw new FormatError(
      `the metadata has more than ${maxGgufTotalItems} array items, at "${key}"`,
    );
  if (itemType === 'string') {
    const bounds = { count, maxBytes: maxGgufStringBytes };
    return { itemType, items: await readStrings(cursor, `an item of "${key}"`, bounds) };
  }
  if (itemType === 'array') {
    const items: GgufArray[] = [];
    for (let i = 0; i < count; i++) items.push(await readArray(cursor, key, budget, depth + 1));
    return { itemType, items };
  }
  const bytes = count * minItemBytes[itemType];
  await cursor.need(bytes, `the items of "${key}"`);
  const stored = cursor.bytes(bytes);
  if (itemType === 'bool') return { itemType, items: Array.from(stored, (byte) => byte !== 0) };
  return { itemType, items: arrayMakers[itemType](stored.slice().buffer) };
}

async function readValue(
  cursor: HeaderCursor,
  key: string,
  budget: ItemBudget,
): Promise<GgufValue> {
  const type = await readType(cursor, `the type of "${key}"`);
  if (type === 'string')
    return { type, value: await readGgufString(cursor, `"${key}"`, maxGgufStringBytes) };
  if (type === 'array') return { type, value: await readArray(cursor, key, budget, 1) };
  await cursor.need(minItemBytes[type], `"${key}"`);
  if (type === 'bool') return { type, value: cursor.uint8() !== 0 };
  if (type === 'uint64') return { type, value: cursor.uint64() };
  if (type === 'int64') return { type, value: cursor.int64() };
  return { type, value: numeric[type].read(cursor) };
}

/** `count` key/value pairs from where the cursor stands. */
export async function readGgufEntries(cursor: HeaderCursor, count: number): Promise<GgufMetadata> {
  const metadata = new Map<string, GgufValue>();
  const budget: ItemBudget = { items: maxGgufTotalItems };
  for (let i = 0; i < count; i++) {
    const key = await readGgufString(cursor, `metadata key ${i}`, maxGgufKeyBytes);
    if (key === '') throw new FormatError(`metadata key ${i} is empty`);
    if (metadata.has(key)) throw new FormatError(`the metadata key "${key}" stands twice`);
    metadata.set(key, await readValue(cursor, key, budget));
  }
  return metadata;
}
