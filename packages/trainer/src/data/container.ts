// What kind of file training data came in, by its first bytes; names only decide where bytes cannot.
import { open } from 'node:fs/promises';
import { extname } from 'node:path';
import { CorralError } from '@corral/contracts';
import { type Delimiter, parseCsvRecord } from './csv.ts';
import { detectFormat } from './formats.ts';
import { isMissing } from './line-reader.ts';

export type Container =
  | { readonly kind: 'jsonl' | 'json-list' | 'json-objects' | 'parquet' | 'text' }
  | { readonly kind: 'csv'; readonly delimiter: Delimiter }
  /** What it is instead, in words. */
  | { readonly kind: 'refused'; readonly reason: string; readonly fix: string };

/** As people say them. */
export const containerNames: Record<Container['kind'], string> = {
  jsonl: 'JSON lines',
  'json-list': 'JSON list',
  'json-objects': 'JSON objects',
  csv: 'CSV',
  parquet: 'Parquet',
  text: 'plain text',
  refused: 'unknown',
};

/** Enough for the header of a table with long column names. */
const headBytes = 64 * 1024;

const refusedBeginnings: readonly { bytes: readonly number[]; reason: string; fix: string }[] = [
  { bytes: [0x1f, 0x8b], reason: 'the file is compressed with gzip', fix: 'unpack it first' },
  { bytes: [0x50, 0x4b, 3, 4], reason: 'the file is a ZIP archive', fix: 'unpack it first' },
  {
    bytes: [0x28, 0xb5, 0x2f, 0xfd],
    reason: 'the file is compressed with zstd',
    fix: 'unpack it first',
  },
  { bytes: [0xff, 0xfe], reason: 'the file is UTF-16', fix: 'save it as UTF-8' },
  { bytes: [0xfe, 0xff], reason: 'the file is UTF-16', fix: 'save it as UTF-8' },
  {
    bytes: [...Buffer.from('ARROW1')],
    reason: 'the file is Arrow or Feather',
    fix: 'save it as Parquet or JSON lines',
  },
];

const textEndings = new Set(['.txt', '.md']);
const delimiters: readonly Delimiter[] = [',', '\t', ';'];

/** The delimiter whose reading of a header names the columns of a known format. */
function delimiterOf(header: string): Delimiter | null {
  const found = delimiters.find((delimiter) => {
    try {
      const names = parseCsvRecord(header, delimiter).map((name) => name.trim());
      return detectFormat(Object.fromEntries(names.map((name) => [name, '']))) !== null;
    } catch {
      return false;
    }
  });
  return found ?? null;
}

/** The kind of a file with this name that begins with these bytes. */
export function containerOf(name: string, head: Uint8Array): Container {
  const begins = (bytes: readonly number[]) => bytes.every((byte, index) => head[index] === byte);
  if (begins([...Buffer.from('PAR1')])) return { kind: 'parquet' };
  const refused = refusedBeginnings.find(({ bytes }) => begins(bytes));
  if (refused) return { kind: 'refused', reason: refused.reason, fix: refused.fix };
  const ending = extname(name).toLowerCase();
  if (textEndings.has(ending)) return { kind: 'text' };
  const text = new TextDecoder().decode(head).trimStart();
  const line = text.split('\n', 1)[0]?.trim() ?? '';
  if (text.startsWith('[')) return { kind: 'json-list' };
  if (line === '{') return { kind: 'json-objects' };
  if (text.startsWith('{')) return { kind: 'jsonl' };
  const delimiter = delimiterOf(line);
  if (delimiter !== null) return { kind: 'csv', delimiter };
  if (ending === '.csv') return { kind: 'csv', delimiter: ',' };
  if (ending === '.tsv') return { kind: 'csv', delimiter: '\t' };
  return { kind: 'jsonl' };
}

/** Looks at a file. Throws CorralError `file_not_found`. */
export async function detectContainer(path: string): Promise<Container> {
  try {
    await using file = await open(path, 'r');
    const { bytesRead, buffer } = await file.read(Buffer.alloc(headBytes), 0, headBytes, 0);
    return containerOf(path, buffer.subarray(0, bytesRead));
  } catch (error) {
    if (!isMissing(error)) throw error;
    throw new CorralError('file_not_found', { params: { path }, cause: error });
  }
}
