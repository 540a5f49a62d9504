// A training file as a stream of examples and problems, one entry a row. Detects the format from the
// first row that can be read and holds the rest of the file to it. Knows no tokens.
import { extname } from 'node:path';
import type { RunConfig } from '@corral/contracts';
import type { Example } from './example.ts';
import { type DataFormat, detectFormat, parseRow, readExample } from './formats.ts';
import { type Line, type LineReaderOptions, type RowProblem, readLines } from './line-reader.ts';
import { RowError } from './row-error.ts';

export type RowFormat = DataFormat | 'unknown';

export interface Row {
  readonly row: number;
  readonly format: RowFormat;
  readonly example?: Example;
  readonly problem?: RowProblem;
}

export interface ReadRowsOptions extends LineReaderOptions {
  readonly format?: RunConfig['data']['format'];
}

/** A plain text file is read in parts of about this many characters, cut at the end of a paragraph. */
const textPartLength = 1 << 20;

const plainTextEndings = new Set(['.txt', '.md']);

/** The rows of a training file in order. Throws CorralError `file_not_found`. */
export async function* readRows(path: string, options: ReadRowsOptions = {}): AsyncGenerator<Row> {
  const { format = 'auto', ...reading } = options;
  const ending = extname(path).toLowerCase();
  if (plainTextEndings.has(ending) && (format === 'auto' || format === 'text')) {
    yield* readPlainText(path, reading);
    return;
  }
  let known: DataFormat | null = format === 'auto' ? null : format;
  let blank: Row[] = [];
  for await (const line of readLines(path, reading)) {
    const { row, known: found } = readRow(line, known);
    known ??= found;
    // Empty lines at the end of a file are no rows.
    if (line.text.trim() === '' && !line.problem) {
      blank.push(row);
      continue;
    }
    yield* blank;
    blank = [];
    yield row;
  }
}

function readRow(line: Line, format: DataFormat | null): { row: Row; known: DataFormat | null } {
  const { row } = line;
  let known = format;
  try {
    if (line.problem) throw new RowError(line.problem.reason, line.problem.fix);
    const fields = parseRow(line.text);
    known ??= detectFormat(fields);
    return { row: { row, format: known ?? 'unknown', example: readExample(fields, known) }, known };
  } catch (error) {
    if (!(error instanceof RowError)) throw error;
    return { row: { row, format: known ?? 'unknown', problem: error.problem }, known };
  }
}

async function* readPlainText(path: string, options: LineReaderOptions): AsyncGenerator<Row> {
  const format = 'text';
  let part = '';
  let start = 1;
  let opens = true;
  for await (const { row, text, problem } of readLines(path, options)) {
    if (problem) {
      yield { row, format, problem };
      continue;
    }
    if (part.length >= textPartLength && /^\S/.test(text)) {
      yield { row: start, format, example: { kind: 'text', text: part, opens, closes: false } };
      [part, start, opens] = ['', row, false];
    }
    part += `${text}\n`;
  }
  if (part.trim() === '' && opens) return;
  yield { row: start, format, example: { kind: 'text', text: part, opens, closes: true } };
}
