// The rows of a JSON file that does not have one row a line: the elements of a top-level list, or objects
// printed over several lines, one after the other. Finds where each value ends by brackets and strings
// alone, in bounded memory; whether a value is JSON is for its reader to judge.
import {
  type Line,
  type LineReaderOptions,
  type RowProblem,
  RowBytes,
  maxRowBytes,
} from './line-reader.ts';

const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const [openBracket, closeBracket] = [0x5b, 0x5d];
const [openBrace, closeBrace] = [0x7b, 0x7d];

const isSpace = (byte: number): boolean =>
  byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;

/** How deep in brackets the text is, and whether in a string. */
class Brackets {
  depth = 0;
  private inString = false;
  private escaped = false;

  get isOutside(): boolean {
    return this.depth === 0 && !this.inString;
  }

  feed(byte: number): void {
    if (this.inString) {
      if (this.escaped) this.escaped = false;
      else if (byte === backslash) this.escaped = true;
      else if (byte === quote) this.inString = false;
    } else if (byte === quote) this.inString = true;
    else if (byte === openBracket || byte === openBrace) this.depth += 1;
    else if (byte === closeBracket || byte === closeBrace) this.depth = Math.max(0, this.depth - 1);
  }
}

const unclosed: RowProblem = {
  reason: 'the list is not closed: the file ends in it',
  fix: 'write the whole file; the list ends with "]"',
};
const trailing: RowProblem = {
  reason: 'there is text after the end of the list',
  fix: 'remove what follows the closing "]"',
};

/** The elements of the list that the chunks hold, as text; a problem of the file itself comes last. */
export async function* splitJsonList(
  chunks: AsyncIterable<Buffer>,
  { maxBytes = maxRowBytes, onChunk }: LineReaderOptions = {},
): AsyncGenerator<Line> {
  const brackets = new Brackets();
  const bytes = new RowBytes(maxBytes);
  let state: 'before' | 'inside' | 'after' = 'before';
  let row = 1;
  let extra = false;
  for await (const chunk of chunks) {
    onChunk?.(chunk);
    let start = 0;
    for (let at = 0; at < chunk.length; at += 1) {
      const byte = chunk[at] ?? 0;
      if (state === 'after') extra ||= !isSpace(byte);
      else if (state === 'before') {
        if (byte !== openBracket) continue;
        state = 'inside';
        start = at + 1;
      } else if (brackets.isOutside && (byte === comma || byte === closeBracket)) {
        bytes.push(chunk.subarray(start, at));
        start = at + 1;
        if (byte === closeBracket) state = 'after';
        const line = bytes.take(row);
        const isEmptyList = state === 'after' && row === 1 && line.text.trim() === '';
        row += 1;
        if (!isEmptyList || line.problem) yield line;
      } else brackets.feed(byte);
    }
    if (state === 'inside') bytes.push(chunk.subarray(start));
  }
  if (extra) yield { row, text: '', problem: trailing };
  if (state === 'inside') yield { row, text: '', problem: unclosed };
}

/** Values that follow one another, each over any number of lines; commas between them are passed over. */
export async function* splitJsonObjects(
  chunks: AsyncIterable<Buffer>,
  { maxBytes = maxRowBytes, onChunk }: LineReaderOptions = {},
): AsyncGenerator<Line> {
  const brackets = new Brackets();
  const bytes = new RowBytes(maxBytes);
  let row = 1;
  const take = (): Line => {
    const line = bytes.take(row);
    row += 1;
    return { ...line, text: line.text.replace(/^[\s,]+/, '') };
  };
  for await (const chunk of chunks) {
    onChunk?.(chunk);
    let start = 0;
    for (let at = 0; at < chunk.length; at += 1) {
      const byte = chunk[at] ?? 0;
      brackets.feed(byte);
      const closes = byte === closeBrace || byte === closeBracket;
      if (!closes || !brackets.isOutside) continue;
      bytes.push(chunk.subarray(start, at + 1));
      start = at + 1;
      yield take();
    }
    bytes.push(chunk.subarray(start));
  }
  const rest = take();
  if (rest.text !== '' || rest.problem) yield rest;
}
