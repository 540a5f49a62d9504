// The splitters of files into rows: whatever the borders of chunks, the same rows; whatever the bytes, an
// answer.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { containerOf } from './container.ts';
import { type Delimiter, parseCsvRecord, splitCsvRecords } from './csv.ts';
import { splitJsonList, splitJsonObjects } from './json-values.ts';
import { type Line, type LineReaderOptions, splitLines } from './line-reader.ts';

type Splitter = (chunks: AsyncIterable<Buffer>, options?: LineReaderOptions) => AsyncIterable<Line>;
const splitters: Record<string, Splitter> = {
  lines: splitLines,
  'a JSON list': splitJsonList,
  'JSON objects': splitJsonObjects,
  CSV: (chunks, options) => splitCsvRecords(chunks, ',', options),
};
const csv = splitters['CSV'] ?? splitLines;

async function* pieces(bytes: Uint8Array, borders: readonly number[]): AsyncGenerator<Buffer> {
  const ends = [...borders.map((border) => border % (bytes.length + 1)), bytes.length];
  let start = 0;
  for (const end of ends.toSorted((a, b) => a - b)) {
    yield await Promise.resolve(Buffer.from(bytes.subarray(start, end)));
    start = end;
  }
}

const split = async (
  splitter: Splitter,
  text: string | Uint8Array,
  { borders = [], ...options }: LineReaderOptions & { borders?: readonly number[] } = {},
): Promise<Line[]> => {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  const lines: Line[] = [];
  for await (const line of splitter(pieces(bytes, borders), options)) lines.push(line);
  return lines;
};
const texts = (lines: readonly Line[]) => lines.map(({ text }) => text);

const bordersArbitrary = fc.array(fc.nat(500), { maxLength: 12 });
const bom = '\uFEFF';

describe.each(Object.entries(splitters))('%s', (_name, splitter) => {
  test('are the same wherever chunks end', async () => {
    const unit = fc.constantFrom(...'ab",;{}[]:\\ \t\r\né🙂'.split(/(?:)/u), bom);
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.string({ unit, maxLength: 60 }).map((text) => Buffer.from(text)),
          fc.uint8Array(),
        ),
        bordersArbitrary,
        async (bytes, borders) => {
          expect(await split(splitter, bytes, { borders })).toEqual(await split(splitter, bytes));
        },
      ),
    );
  });

  test('beyond the limit are refused without being kept', async () => {
    const long = `["${'x'.repeat(100)}"]\n["y"]`;
    const lines = await split(splitter, long, { maxBytes: 20, borders: [30, 60, 90] });
    expect(lines[0]?.problem?.reason).toMatch(/^the row has 1\d\d bytes; the limit is 20$/);
    expect(lines[0]?.text).toBe('');
  });

  test('that are not UTF-8 are named', async () => {
    const bytes = Buffer.concat([Buffer.from('["a'), Buffer.from([0xff]), Buffer.from('"]\n')]);
    expect((await split(splitter, bytes))[0]?.problem?.reason).toBe('not valid UTF-8');
  });
});

describe('a JSON list', () => {
  test('has its elements as rows, however it is printed', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.jsonValue(), { maxLength: 6 }),
        fc.constantFrom(0, 2, '\t'),
        bordersArbitrary,
        async (values, indent, borders) => {
          const text = `${bom}${JSON.stringify(values, null, indent)}\r\n`;
          const lines = await split(splitJsonList, text, { borders });
          expect(lines.map((line) => JSON.parse(line.text) as unknown)).toEqual(
            JSON.parse(JSON.stringify(values)),
          );
          expect(lines.map(({ row }) => row)).toEqual(values.map((_, index) => index + 1));
        },
      ),
    );
  });

  test('that is not closed or goes on is a problem of its own', async () => {
    expect((await split(splitJsonList, '[{"a": 1}, {"b"')).at(-1)?.problem?.reason).toContain(
      'not closed',
    );
    const more = await split(splitJsonList, '[{"a": 1}] []');
    expect(texts(more)).toEqual(['{"a": 1}', '']);
    expect(more[1]?.problem?.reason).toContain('after the end');
  });
});

describe('JSON objects', () => {
  test('may be printed over many lines', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.dictionary(fc.string(), fc.jsonValue()), { minLength: 1, maxLength: 5 }),
        fc.constantFrom('\n', ',\n', ' '),
        bordersArbitrary,
        async (values, between, borders) => {
          const text = values.map((value) => JSON.stringify(value, null, 2)).join(between);
          const lines = await split(splitJsonObjects, text, { borders });
          expect(lines.map((line) => JSON.parse(line.text) as unknown)).toEqual(
            values.map((value) => JSON.parse(JSON.stringify(value)) as unknown),
          );
        },
      ),
    );
  });

  test('that are cut are given as they are', async () => {
    expect(texts(await split(splitJsonObjects, '{\n"a": 1\n}\n{"b": '))).toEqual([
      '{\n"a": 1\n}',
      '{"b": ',
    ]);
  });
});

describe('CSV', () => {
  const quoted = (field: string, delimiter: string, always: boolean): string =>
    always || field.includes(delimiter) || /["\r\n]/.test(field)
      ? `"${field.replaceAll('"', '""')}"`
      : field;

  test('gives back any table that was written by RFC 4180', async () => {
    const unit = fc.constantFrom(...'ab", ;\t\r\né'.split(/(?:)/u));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.string({ unit, maxLength: 8 }), { minLength: 2, maxLength: 4 }), {
          minLength: 1,
          maxLength: 5,
        }),
        fc.constantFrom<Delimiter>(',', ';', '\t'),
        fc.record({
          always: fc.boolean(),
          end: fc.constantFrom('\n', '\r\n'),
          lastEnd: fc.boolean(),
          begin: fc.constantFrom('', bom),
        }),
        bordersArbitrary,
        async (table, delimiter, { always, end, lastEnd, begin }, borders) => {
          const text = table
            .map((record) =>
              record.map((field) => quoted(field, delimiter, always)).join(delimiter),
            )
            .join(end);
          const splitter: Splitter = (chunks, options) =>
            splitCsvRecords(chunks, delimiter, options);
          const lines = await split(splitter, `${begin}${text}${lastEnd ? end : ''}`, { borders });
          expect(lines.map((line) => parseCsvRecord(line.text, delimiter))).toEqual(table);
        },
      ),
    );
  });

  test.each([
    ['a,b"c', /field 2 has a quote/],
    ['"a"b,c', /field 1 goes on/],
    ['a,"b', /field 2 is not closed/],
  ])('refuses %s', (text, reason) => {
    expect(() => parseCsvRecord(text, ',')).toThrow(reason);
  });

  test('lets a stray quote spoil its own row only', async () => {
    expect(texts(await split(csv, 'a,5" pipe\nb,c\n'))).toEqual(['a,5" pipe', 'b,c']);
  });

  test('names the row in which a field is not closed', async () => {
    const lines = await split(csv, 'a,b\nc,"d\ne,f\n');
    expect(lines.at(-1)).toMatchObject({ row: 2, problem: { reason: /not closed/ } });
  });
});

describe('the container of a file', () => {
  test.each([
    ['rows.jsonl', '{"text": "a"}\n', { kind: 'jsonl' }],
    ['rows.json', '{"text": "a"}\n{"text": "b"}\n', { kind: 'jsonl' }],
    ['rows.json', `${bom}\n [ {"text": "a"}]`, { kind: 'json-list' }],
    ['rows.jsonl', '[{"text": "a"}]', { kind: 'json-list' }],
    ['rows.json', '{\n  "text": "a"\n}', { kind: 'json-objects' }],
    ['rows.csv', 'prompt,completion\na,b\n', { kind: 'csv', delimiter: ',' }],
    ['rows', '"text"\r\n"a"\r\n', { kind: 'csv', delimiter: ',' }],
    ['rows.csv', `${bom}instruction;output\na;b\n`, { kind: 'csv', delimiter: ';' }],
    ['rows.tsv', 'id\tmessages\n', { kind: 'csv', delimiter: '\t' }],
    ['rows.csv', 'id,name\n', { kind: 'csv', delimiter: ',' }],
    ['rows.bin', 'PAR1', { kind: 'parquet' }],
    ['story.txt', '[a story]', { kind: 'text' }],
    ['rows.jsonl', 'nonsense', { kind: 'jsonl' }],
    ['empty', '', { kind: 'jsonl' }],
  ])('%s that begins with %j', (name, head, expected) => {
    expect(containerOf(name, Buffer.from(head))).toEqual(expected);
  });

  test.each([
    ['gzip', [0x1f, 0x8b, 8]],
    ['ZIP', [0x50, 0x4b, 3, 4]],
    ['UTF-16', [0xff, 0xfe, 0x7b, 0]],
  ])('%s is refused with what to do', (name, bytes) => {
    const found = containerOf('rows.jsonl', Uint8Array.from(bytes));
    expect(found).toMatchObject({ kind: 'refused', reason: expect.stringContaining(name) });
  });
});
