// The rows of a Parquet file, one row group in memory at a time, with only the columns that training knows.
// Sizes that the file states are judged before anything of that size is made. A file can still lie inside
// its pages: callers that do not trust it run this in a process of its own (parquet-reader.ts).
import { open, type FileHandle } from 'node:fs/promises';
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib';
import {
  type AsyncBuffer,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
} from 'hyparquet';
import type { Fields } from './chat-row.ts';
import { RowError } from './row-error.ts';

/** Real footers stay below a megabyte; a thousand columns in a thousand row groups take ten. */
const maxMetadataBytes = 16 * 2 ** 20;
/** Rows are decoded a group at a time. Writers default to 128 MB or a million rows. */
const maxGroupBytes = 2 ** 30;
const maxGroupRows = 2 ** 24;

const refuse = (reason: string, fix = 'write the file again'): RowError =>
  new RowError(`the Parquet file cannot be read: ${reason}`, fix);

/** A string column whose bytes are no UTF-8: found when its row is read. */
class InvalidText {}
const invalidText = new InvalidText();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const parsers = {
  stringFromBytes: (bytes: Uint8Array | undefined): unknown => {
    if (bytes === undefined) return undefined;
    try {
      return decoder.decode(bytes);
    } catch {
      return invalidText;
    }
  },
};

const bounded = (length: number): number => {
  if (length >= 0 && length <= maxGroupBytes) return length;
  throw refuse(`a page states ${length} bytes`);
};

const compressors = {
  GZIP: (input: Uint8Array, length: number) =>
    gunzipSync(input, { maxOutputLength: bounded(length) + 1 }),
  BROTLI: (input: Uint8Array, length: number) =>
    brotliDecompressSync(input, { maxOutputLength: bounded(length) + 1 }),
  ZSTD: (input: Uint8Array, length: number) =>
    zstdDecompressSync(input, { maxOutputLength: bounded(length) + 1 }),
};

function bufferOf(file: FileHandle, byteLength: number): AsyncBuffer {
  return {
    byteLength,
    slice: async (start, end = byteLength) => {
      const length = end - start;
      if (!(start >= 0 && length >= 0 && end <= byteLength && length <= maxGroupBytes)) {
        throw refuse(`it points to bytes ${start} to ${end} of ${byteLength}`);
      }
      const bytes = new Uint8Array(length);
      const { bytesRead } = await file.read(bytes, 0, length, start);
      if (bytesRead < length) throw refuse('the file became shorter');
      return bytes.buffer;
    },
  };
}

/** What JSON can hold of a value; throws RowError for text that is not UTF-8. */
function plainValue(value: unknown): unknown {
  if (value instanceof InvalidText) throw new RowError('not valid UTF-8', 'write texts as UTF-8');
  if (typeof value === 'bigint') return Number(value);
  if (value instanceof Date) return value.toISOString();
  if (ArrayBuffer.isView(value)) return Array.from(value as Uint8Array);
  if (Array.isArray(value)) return value.map(plainValue);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, entry]) => [key, plainValue(entry)] as const);
  return Object.fromEntries(entries);
}

/** Absent columns are null in Parquet; in a row they are not there. */
function fieldsOf(row: Record<string, unknown>): Fields {
  const entries = Object.entries(row).filter(([, value]) => value !== null && value !== undefined);
  return plainValue(Object.fromEntries(entries)) as Fields;
}

async function readMetadata(buffer: AsyncBuffer): Promise<FileMetaData> {
  if (buffer.byteLength < 12) throw refuse('it is too short');
  const tail = new DataView(await buffer.slice(buffer.byteLength - 8));
  const length = tail.getUint32(0, true);
  if (length > Math.min(maxMetadataBytes, buffer.byteLength - 12)) {
    throw refuse(`its footer states ${length} bytes`);
  }
  return parquetMetadataAsync(buffer, { geoparquet: false });
}

type RowGroup = FileMetaData['row_groups'][number];

function checkGroup({ columns, num_rows }: RowGroup, known: ReadonlySet<string>): number {
  const rows = Number(num_rows);
  if (!(rows >= 0 && rows <= maxGroupRows)) throw refuse(`a row group states ${rows} rows`);
  const bytes = columns
    .filter(({ meta_data }) => known.has(meta_data?.path_in_schema[0] ?? ''))
    .reduce((sum, { meta_data }) => sum + Number(meta_data?.total_uncompressed_size ?? 0), 0);
  if (!(bytes >= 0 && bytes <= maxGroupBytes)) {
    throw refuse(
      `a row group has ${bytes} bytes; the limit is ${maxGroupBytes}`,
      'write it with smaller row groups (row_group_size=10000 in Python)',
    );
  }
  return rows;
}

/** One row, or why it cannot be one. */
export type ParquetRow =
  | { readonly fields: Fields }
  | { readonly reason: string; readonly fix: string };

/**
 * The rows of a file in order, with the columns of `known` that it has.
 * Throws RowError when the file as a whole cannot be read; rows before that have been given.
 */
export async function* readParquetRows(
  path: string,
  known: ReadonlySet<string>,
): AsyncGenerator<ParquetRow> {
  await using file = await open(path, 'r');
  const { size } = await file.stat();
  const buffer = bufferOf(file, size);
  try {
    const metadata = await readMetadata(buffer);
    const names = topLevelNames(metadata);
    const columns = names.filter((name) => known.has(name));
    if (columns.length === 0) {
      const listed = names.slice(0, 12).join(', ');
      throw new RowError(
        `no known format has the columns {${listed}}`,
        'name the columns as a known format does: messages, prompt and completion, text, …',
      );
    }
    let rowStart = 0;
    for (const group of metadata.row_groups) {
      const rowEnd = rowStart + checkGroup(group, known);
      const options = { file: buffer, metadata, columns, rowStart, rowEnd, compressors, parsers };
      const rows = rowEnd === rowStart ? [] : await parquetReadObjects(options);
      if (rows.length !== rowEnd - rowStart) throw refuse('a row group has not the rows it states');
      for (const row of rows) yield toParquetRow(row);
      rowStart = rowEnd;
    }
  } catch (error) {
    if (error instanceof RowError) throw error;
    throw refuse(error instanceof Error ? error.message : String(error));
  }
}

const topLevelNames = ({ schema }: FileMetaData): string[] => {
  const names: string[] = [];
  // The schema is a tree in prefix order; the first element is its root.
  for (let at = 1; at < schema.length;) {
    names.push(schema[at]?.name ?? '');
    for (let left = 1; left > 0 && at < schema.length; at += 1) {
      left += (schema[at]?.num_children ?? 0) - 1;
    }
  }
  return names;
};

function toParquetRow(row: Record<string, unknown>): ParquetRow {
  try {
    return { fields: fieldsOf(row) };
  } catch (error) {
    if (error instanceof RowError) return error.problem;
    throw error;
  }
}
