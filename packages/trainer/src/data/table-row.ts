// A record of a table (CSV) as the fields of a row: the header names them, an empty cell is an absent
// field, and cells that hold messages hold them as JSON. Numbers and dates stay text.
import type { Fields } from './chat-row.ts';
import { isFields } from './chat-row.ts';
import { RowError, quote } from './row-error.ts';

/** Columns whose cells can only be JSON. */
const jsonColumns = new Set([
  'messages',
  'conversations',
  'tools',
  'preferred_output',
  'non_preferred_output',
  'history',
]);
/** Columns whose cells are texts, or messages as JSON. */
const eitherColumns = new Set(['prompt', 'completion', 'chosen', 'rejected', 'input']);

function parseJson(cell: string, column: string): unknown {
  try {
    return JSON.parse(cell);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    // What pandas writes for a column of lists.
    const fix = /^\[?\{'/.test(cell.trim())
      ? 'it is written in the notation of Python: write it with json.dumps'
      : 'write the cell as JSON';
    throw new RowError(`"${column}" is not JSON: ${why}`, fix);
  }
}

/** Whether a cell is meant as messages; other texts that begin with a bracket stay text. */
const holdsMessages = (value: unknown): boolean =>
  Array.isArray(value)
    ? value.length > 0 && value.every((entry) => isFields(entry) && 'role' in entry)
    : isFields(value) && ('role' in value || 'messages' in value);

function readCell(column: string, cell: string): unknown {
  if (jsonColumns.has(column)) return parseJson(cell, column);
  if (!eitherColumns.has(column) || !/^\s*[[{]/.test(cell)) return cell;
  try {
    const value: unknown = JSON.parse(cell);
    return holdsMessages(value) ? value : cell;
  } catch {
    return cell;
  }
}

/** The names of the columns. Throws RowError when two are the same or all are empty. */
export function readHeader(cells: readonly string[]): string[] {
  const names = cells.map((cell) => cell.trim());
  const twice = names.find((name, index) => name !== '' && names.indexOf(name) !== index);
  if (twice !== undefined) {
    throw new RowError(`the header has ${quote(twice)} twice`, 'give each column its own name');
  }
  if (names.every((name) => name === '')) {
    throw new RowError('the header is empty', 'name the columns in the first row');
  }
  return names;
}

/** One record under its header. Throws RowError. */
export function readTableRow(names: readonly string[], cells: readonly string[]): Fields {
  if (cells.length !== names.length) {
    throw new RowError(
      `the row has ${cells.length} fields, the header ${names.length}`,
      'put fields that hold a delimiter or a line break in quotes',
    );
  }
  const fields: Fields = {};
  names.forEach((name, index) => {
    const cell = cells[index] ?? '';
    if (name !== '' && cell !== '') fields[name] = readCell(name, cell);
  });
  return fields;
}
