// CSV as RFC 4180 has it, over chunks of bytes: records with quoted fields that may hold delimiters, line
// breaks and doubled quotes. Lines may end in CRLF or LF, the delimiter may be a comma, semicolon or tab.
// What RFC 4180 does not allow is a problem of that record, told with its number; the header is record 1,
// as a spreadsheet counts. Knows nothing of what columns mean.
import { type Line, type LineReaderOptions, RowBytes, maxRowBytes } from './line-reader.ts';
import { RowError } from './row-error.ts';

export type Delimiter = ',' | ';' | '\t';

const newline = 0x0a;
const quote = 0x22;

type Place = 'begin' | 'unquoted' | 'quoted' | 'closed';

/** Where in its record the text is after one more byte. */
function nextPlace(place: Place, byte: number, separator: number): Place {
  if (place === 'quoted') return byte === quote ? 'closed' : 'quoted';
  if (byte === separator || byte === newline) return 'begin';
  // A doubled quote closes the field and opens it again.
  if (byte === quote && place !== 'unquoted') return 'quoted';
  return 'unquoted';
}

const byteOrderMark = [0xef, 0xbb, 0xbf];

/**
 * The records of chunks as text, quotes still in it. A quote opens a field only at its beginning, so a
 * stray one further in cannot swallow the rows that follow.
 */
export async function* splitCsvRecords(
  chunks: AsyncIterable<Buffer>,
  delimiter: Delimiter,
  { maxBytes = maxRowBytes, onChunk }: LineReaderOptions = {},
): AsyncGenerator<Line> {
  const bytes = new RowBytes(maxBytes);
  const separator = delimiter.charCodeAt(0);
  let row = 1;
  let position = 0;
  let place: Place = 'begin';
  for await (const chunk of chunks) {
    onChunk?.(chunk);
    let start = 0;
    for (let at = 0; at < chunk.length; at += 1, position += 1) {
      const byte = chunk[at] ?? 0;
      if (byte === byteOrderMark[position]) continue;
      const ends = byte === newline && place !== 'quoted';
      place = nextPlace(place, byte, separator);
      if (!ends) continue;
      bytes.push(chunk.subarray(start, at));
      start = at + 1;
      yield withoutReturn(bytes.take(row));
      row += 1;
    }
    bytes.push(chunk.subarray(start));
  }
  if (bytes.isEmpty) return;
  const last = withoutReturn(bytes.take(row));
  yield place === 'quoted' ? { row, text: '', problem: unclosed } : last;
}

const unclosed = {
  reason: 'a quoted field is not closed: the file ends in it',
  fix: 'close the field with a quote, and double the quotes inside it',
};

const withoutReturn = (line: Line): Line =>
  line.text.endsWith('\r') ? { ...line, text: line.text.slice(0, -1) } : line;

/** The fields of one record. Throws RowError for what RFC 4180 does not allow. */
export function parseCsvRecord(text: string, delimiter: Delimiter): string[] {
  const fields: string[] = [];
  for (let at = 0; ;) {
    let end: number;
    if (text[at] === '"') {
      const { value, end: after } = quotedField(text, at, fields.length + 1);
      fields.push(value);
      end = after;
      if (end < text.length && text[end] !== delimiter) {
        throw new RowError(
          `field ${fields.length} goes on after its closing quote`,
          'double the quotes inside a quoted field',
        );
      }
    } else {
      const found = text.indexOf(delimiter, at);
      end = found < 0 ? text.length : found;
      const value = text.slice(at, end);
      fields.push(value);
      if (value.includes('"')) {
        throw new RowError(
          `field ${fields.length} has a quote but does not begin with one`,
          'put the whole field in quotes and double the quotes inside it',
        );
      }
    }
    if (end >= text.length) return fields;
    at = end + 1;
  }
}

function quotedField(text: string, start: number, field: number): { value: string; end: number } {
  let value = '';
  for (let from = start + 1; ;) {
    const close = text.indexOf('"', from);
    if (close < 0) {
      throw new RowError(`field ${field} is not closed`, 'close the field with a quote');
    }
    value += text.slice(from, close);
    if (text[close + 1] !== '"') return { value, end: close + 1 };
    value += '"';
    from = close + 2;
  }
}
