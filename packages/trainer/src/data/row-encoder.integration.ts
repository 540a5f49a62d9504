// Threads that tokenise: the same answers as this thread, in order, however many there are.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkData } from './check-data.ts';
import { type EncoderOptions, openEncoder } from './open-encoder.ts';
import type { PackedExamples } from './packed-examples.ts';
import { type RowEncoder, inlineEncoder, threadedEncoder } from './row-encoder.ts';
import { byteLevelFiles } from './tokenizer.fake.ts';

let folder = '';
let options: EncoderOptions;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'corral-threads-'));
  const { tokenizerJson, tokenizerConfig } = byteLevelFiles();
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(tokenizerJson));
  writeFileSync(join(folder, 'tokenizer_config.json'), JSON.stringify(tokenizerConfig));
  options = {
    model: folder,
    data: { loss_on: 'assistant', context_length: 64, truncate: 'drop' },
  };
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const collect = async (path: string, encoder: RowEncoder) => {
  await using open = encoder;
  const examples: PackedExamples[] = [];
  const onExamples = (part: PackedExamples): void => {
    examples.push(part);
  };
  const report = await checkData(path, open, { preview: 2, onExamples });
  return { report, examples };
};

test('threads answer as this one does', async () => {
  const path = join(folder, 'rows.jsonl');
  const rows = Array.from({ length: 4000 }, (_, index) =>
    index % 97 === 0
      ? '{}'
      : JSON.stringify({ prompt: `hello ${index}`, completion: 'x'.repeat(index % 50) || 'y' }),
  );
  writeFileSync(path, rows.join('\n'));
  const here = await collect(path, inlineEncoder(await openEncoder(options)));
  const there = await collect(path, threadedEncoder(options, 3));
  expect(there).toEqual(here);
  expect(here.examples.length).toBeGreaterThan(5);
  expect(here.report).toMatchObject({ rows: 4000, error_count: 42 });
});

test('a tokenizer that cannot be opened is told with its code', async () => {
  const broken = { ...options, model: join(folder, 'nowhere') };
  const path = join(folder, 'one.jsonl');
  writeFileSync(path, '{"text": "a"}\n');
  await expect(collect(path, threadedEncoder(broken, 2))).rejects.toMatchObject({
    code: 'file_not_found',
  });
});
