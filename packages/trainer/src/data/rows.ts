// A training file as a stream of examples and problems, one entry a row. Detects the format from the
// first row that can be read and holds the rest of the file to it. Knows no tokens.
import type { RunConfig } from '@corral/contracts';
import type { Example } from './example.ts';
import { type DataFormat, detectFormat, parseRow, readExample } from './formats.ts';
import type { LineReaderOptions, RowProblem } from './line-reader.ts';
import { type RawRow, readRawRows } from './raw-rows.ts';
import { RowError } from './row-error.ts';

type RowFormat = DataFormat | 'unknown';

export interface Row {
  readonly row: number;
  readonly format: RowFormat;
  readonly example?: Example;
  readonly problem?: RowProblem;
}

export interface ReadRowsOptions extends LineReaderOptions {
  readonly format?: RunConfig['data']['format'];
}

/** Makes sense of a row as `format`, or as what it looks like. */
export function readRow(raw: RawRow, format: DataFormat | null): Row {
  const { row } = raw;
  let known = format;
  try {
    if ('problem' in raw) throw new RowError(raw.problem.reason, raw.problem.fix);
    if ('example' in raw) return { row, format: 'text', example: raw.example };
    const fields = 'text' in raw ? parseRow(raw.text) : raw.fields;
    known ??= detectFormat(fields);
    return { row, format: known ?? 'unknown', example: readExample(fields, known) };
  } catch (error) {
    if (!(error instanceof RowError)) throw error;
    return { row, format: known ?? 'unknown', problem: error.problem };
  }
}

/** The format that a row settles for the rows after it; null when it settles none. */
export const settledFormat = ({ format }: Row): DataFormat | null =>
  format === 'unknown' ? null : format;

/** The rows of a training file in order. Throws CorralError `file_not_found`. */
export async function* readRows(path: string, options: ReadRowsOptions = {}): AsyncGenerator<Row> {
  const { format = 'auto' } = options;
  let known: DataFormat | null = format === 'auto' ? null : format;
  const { rows } = await readRawRows(path, options);
  for await (const raw of rows) {
    const row = readRow(raw, known);
    known ??= settledFormat(row);
    yield row;
  }
}
