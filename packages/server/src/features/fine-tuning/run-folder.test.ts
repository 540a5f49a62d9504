import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { parse } from 'yaml';
import { mapRunConfig } from './run-config-mapping.ts';
import { prepareRunFolder, requireDataEnding } from './run-folder.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'corral-test-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

it.each([
  ['rows.jsonl', '.jsonl'],
  ['ROWS.JSONL', '.jsonl'],
  ['rows.json', '.json'],
  ['rows.csv', '.csv'],
  ['rows.PARQUET', '.parquet'],
  ['rows', '.jsonl'],
  ['book.txt', '.txt'],
  ['book.MD', '.txt'],
])('gives %s to the trainer as %s', async (filename, ending) => {
  requireDataEnding(filename, 'training_file');
  const path = join(root, 'content');
  await writeFile(path, 'hello');
  const folder = await prepareRunFolder(join(root, 'run'), {
    config: mapRunConfig({}, {}).config,
    model: '/m.gguf',
    init: null,
    training: { path, filename },
    validation: null,
  });
  const { data } = parse(await readFile(folder.config, 'utf8')) as { data: { train: string } };
  expect(extname(data.train)).toBe(ending);
  expect(await readFile(data.train, 'utf8')).toBe('hello');
});

it.each(['rows.xlsx', 'rows.arrow', 'rows.jsonl.gz', 'book.pdf', 'x.constructor'])(
  'refuses %s, naming the field',
  (filename) => {
    expect(() => requireDataEnding(filename, 'training_file')).toThrow(
      expect.objectContaining({ code: 'invalid_request', param: 'training_file' }),
    );
  },
);
