// Files made by pyarrow (reference/make-parquet.py) and files made to hurt.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dataColumns } from './formats.ts';
import { type ParquetRow, readParquetRows } from './parquet-rows.ts';
import { draw } from './order.ts';

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../reference/parquet/${name}`, import.meta.url));
const read = async (path: string): Promise<ParquetRow[]> => {
  const rows: ParquetRow[] = [];
  for await (const row of readParquetRows(path, new Set(dataColumns))) rows.push(row);
  return rows;
};
const withoutNull = (row: Record<string, unknown>) =>
  Object.fromEntries(
    Object.entries(row).filter(([name, value]) => value !== null && dataColumns.includes(name)),
  );

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'corral-parquet-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe('a Parquet file', () => {
  test.each([
    'chat-snappy',
    'completion-zstd',
    'completion-v2',
    'preference-plain',
    'text-brotli',
    'no-rows',
  ])('%s has the rows that were written', async (name) => {
    const written = JSON.parse(readFileSync(fixture(`${name}.json`), 'utf8')) as Record<
      string,
      unknown
    >[];
    const rows = await read(fixture(`${name}.parquet`));
    expect(rows).toEqual(written.map((row) => ({ fields: withoutNull(row) })));
  });

  test('with text that is not UTF-8 names the row', async () => {
    expect(await read(fixture('not-utf8.parquet'))).toEqual([
      { fields: { text: 'good' } },
      { reason: 'not valid UTF-8', fix: 'write texts as UTF-8' },
    ]);
  });

  test('without a known column says which it has', async () => {
    await expect(read(fixture('other-columns.parquet'))).rejects.toThrow('{age}');
  });

  test('that is damaged is an error, whatever byte is wrong', async () => {
    const whole = readFileSync(fixture('completion-zstd.parquet'));
    const path = join(folder, 'damaged.parquet');
    for (let round = 0; round < 150; round += 1) {
      const bytes = Buffer.from(whole);
      const at = draw(7, round) % bytes.length;
      bytes[at] = draw(8, round) % 256;
      const cut = round % 5 === 0 ? bytes.subarray(0, draw(9, round) % bytes.length) : bytes;
      writeFileSync(path, cut);
      // Either it still reads, or it is refused by the one error that readers know.
      await read(path).catch((error: unknown) => {
        expect(error).toMatchObject({ name: 'RowError' });
      });
    }
  });

  test('with a footer that states too much is refused', async () => {
    const path = join(folder, 'footer.parquet');
    writeFileSync(
      path,
      Buffer.concat([Buffer.from('PAR1'), Buffer.from([0, 0, 0, 127]), Buffer.from('PAR1')]),
    );
    await expect(read(path)).rejects.toThrow('its footer states');
  });
});
