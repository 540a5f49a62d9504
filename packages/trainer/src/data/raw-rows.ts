// A training file as rows that nobody has understood yet, whatever container it came in: text that should
// be JSON, fields of a table, or a part of a plain text. Rows are made sense of in rows.ts, which may be
// done elsewhere: everything here can be sent to another thread.
import type { RunConfig } from '@corral/contracts';
import type { Fields } from './chat-row.ts';
import { type Container, containerNames, detectContainer } from './container.ts';
import { type Delimiter, parseCsvRecord, splitCsvRecords } from './csv.ts';
import type { TextExample } from './example.ts';
import { dataColumns } from './formats.ts';
import { splitJsonList, splitJsonObjects } from './json-values.ts';
import { type LineReaderOptions, type RowProblem, readChunks, splitLines } from './line-reader.ts';
import { readParquet } from './parquet-reader.ts';
import { RowError } from './row-error.ts';
import { readHeader, readTableRow } from './table-row.ts';

export type RawRow = {
  /** One-based: a line, an element of a list, a record of a table (its header is 1), a row. */
  readonly row: number;
} & (
  | { readonly text: string }
  | { readonly fields: Fields }
  | { readonly example: TextExample }
  | { readonly problem: RowProblem }
);

export interface RawFile {
  /** As people say it: "JSON lines", "CSV", … */
  readonly container: string;
  readonly rows: AsyncIterable<RawRow>;
}

type Chunks = AsyncIterable<Buffer>;

/** A plain text file is read in parts of about this many characters, cut at the end of a paragraph. */
const textPartLength = 1 << 20;

type Lines = typeof splitLines;

/** Rows of JSON; empty ones at the end of the file are no rows. */
async function* jsonRows(lines: ReturnType<Lines>): AsyncGenerator<RawRow> {
  let blank: RawRow[] = [];
  for await (const { row, text, problem } of lines) {
    if (problem) {
      yield* blank;
      blank = [];
      yield { row, problem };
    } else if (text.trim() === '') {
      blank.push({ row, text });
    } else {
      yield* blank;
      blank = [];
      yield { row, text };
    }
  }
}

async function* csvRows(
  chunks: Chunks,
  delimiter: Delimiter,
  options: LineReaderOptions,
): AsyncGenerator<RawRow> {
  let names: string[] | null = null;
  for await (const { row, text, problem } of splitCsvRecords(chunks, delimiter, options)) {
    try {
      if (problem) throw new RowError(problem.reason, problem.fix);
      if (text === '') continue;
      const cells = parseCsvRecord(text, delimiter);
      if (names === null) names = readHeader(cells);
      else yield { row, fields: readTableRow(names, cells) };
    } catch (error) {
      if (!(error instanceof RowError)) throw error;
      yield { row, problem: error.problem };
      // Without a header no row means anything.
      if (names === null) return;
    }
  }
}

async function* parquetRows(path: string, { onChunk }: LineReaderOptions): AsyncGenerator<RawRow> {
  // The decoder reads here and there; hashes and progress go through the file once, first.
  if (onChunk) for await (const chunk of readChunks(path)) onChunk(chunk);
  let row = 0;
  for await (const read of readParquet(path, dataColumns)) {
    row += 1;
    yield 'fields' in read
      ? { row, fields: read.fields }
      : { row, problem: { reason: read.reason, fix: read.fix } };
  }
}

async function* plainTextRows(chunks: Chunks, options: LineReaderOptions): AsyncGenerator<RawRow> {
  let part = '';
  let start = 1;
  let opens = true;
  for await (const { row, text, problem } of splitLines(chunks, options)) {
    if (problem) {
      yield { row, problem };
      continue;
    }
    if (part.length >= textPartLength && /^\S/.test(text)) {
      yield { row: start, example: { kind: 'text', text: part, opens, closes: false } };
      [part, start, opens] = ['', row, false];
    }
    part += `${text}\n`;
  }
  if (part.trim() === '' && opens) return;
  yield { row: start, example: { kind: 'text', text: part, opens, closes: true } };
}

async function* refusedRow(problem: RowProblem): AsyncGenerator<RawRow> {
  yield await Promise.resolve({ row: 1, problem });
}

/** Rows of a file whose container is known. */
function rowsOf(path: string, container: Container, options: LineReaderOptions) {
  const chunks = readChunks(path);
  switch (container.kind) {
    case 'jsonl':
      return jsonRows(splitLines(chunks, options));
    case 'json-list':
      return jsonRows(splitJsonList(chunks, options));
    case 'json-objects':
      return jsonRows(splitJsonObjects(chunks, options));
    case 'csv':
      return csvRows(chunks, container.delimiter, options);
    case 'parquet':
      return parquetRows(path, options);
    case 'text':
      return plainTextRows(chunks, options);
    case 'refused':
      return refusedRow({ reason: container.reason, fix: container.fix });
    default:
      return container satisfies never;
  }
}

/** Opens a training file. Throws CorralError `file_not_found`, here or while rows are read. */
export async function readRawRows(
  path: string,
  {
    format = 'auto',
    ...options
  }: LineReaderOptions & { format?: RunConfig['data']['format'] } = {},
): Promise<RawFile> {
  const found = await detectContainer(path);
  // A format other than text says that a file called .txt holds rows.
  const container: Container =
    found.kind === 'text' && format !== 'auto' && format !== 'text' ? { kind: 'jsonl' } : found;
  return { container: containerNames[container.kind], rows: rowsOf(path, container, options) };
}
