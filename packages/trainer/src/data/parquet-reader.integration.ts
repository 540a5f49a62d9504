// The decoder's process: its rows, and what is left of a file that takes more memory than it may have.
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { dataColumns } from './formats.ts';
import { readParquet } from './parquet-reader.ts';
import type { ParquetRow } from './parquet-rows.ts';

const read = async (name: string): Promise<ParquetRow[]> => {
  const path = fileURLToPath(new URL(`../../reference/parquet/${name}.parquet`, import.meta.url));
  const rows: ParquetRow[] = [];
  for await (const row of readParquet(path, dataColumns)) rows.push(row);
  return rows;
};

test('gives the rows and the problem of a file', async () => {
  expect(await read('not-utf8')).toEqual([
    { fields: { text: 'good' } },
    { reason: 'not valid UTF-8', fix: 'write texts as UTF-8' },
  ]);
  expect(await read('other-columns')).toEqual([
    { reason: expect.stringContaining('{age}'), fix: expect.any(String) },
  ]);
});

test('outlives a file that unpacks to more than its memory', { timeout: 60_000 }, async () => {
  expect(await read('bomb')).toEqual([
    { reason: expect.stringContaining('memory or time'), fix: expect.any(String) },
  ]);
});
