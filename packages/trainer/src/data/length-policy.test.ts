// What becomes of rows that are longer than the context: refused, left out, or cut; counted each time.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkData } from './check-data.ts';
import { createChatTemplate } from './chat-template.ts';
import type { Encoder } from './encode.ts';
import { type PackedExamples, readRecord } from './packed-examples.ts';
import { inlineEncoder } from './row-encoder.ts';
import { byteLevelTokenizer } from './tokenizer.fake.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'corral-length-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const tokenizer = byteLevelTokenizer();
const row = (question: string, answer: string): string =>
  JSON.stringify({ prompt: question, completion: answer });
const prompt = '<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n';

async function run(truncate: 'error' | 'drop' | 'cut', lines: readonly string[]) {
  const path = join(folder, 'rows.jsonl');
  writeFileSync(path, lines.join('\n'));
  const encoder: Encoder = {
    tokenizer,
    template: createChatTemplate(null, tokenizer, 'test'),
    lossOn: 'assistant',
    contextLength: 32,
    truncate,
  };
  const texts: string[] = [];
  const onExamples = ({ bytes, entries }: PackedExamples): void => {
    let at = 0;
    for (let index = 0; index < entries.length; index += 4) {
      const [size = 0, tokens = 0] = entries.subarray(index);
      const example = readRecord(bytes.slice(at, at + size), tokens);
      texts.push(tokenizer.decode([...example.tokens]));
      at += size;
    }
  };
  const report = await checkData(path, inlineEncoder(encoder), { truncate, onExamples });
  return { report, texts };
}

describe('a row that is longer than the context', () => {
  const lines = [row('q', 'a'), row('q', 'b'.repeat(30)), row('long'.repeat(20), 'c')];
  const short = `${prompt}a<|im_end|>`;

  test('is an error that says the numbers and the ways out', async () => {
    const { report } = await run('error', lines);
    expect(report).toMatchObject({
      rows: 3,
      examples: 1,
      error_count: 2,
      too_long: { rows: 2, longest: 101, dropped: 0, policy: 'error' },
    });
    expect(report.errors[0]).toEqual({
      row: 2,
      reason: '51 tokens do not fit context_length 32',
      fix: expect.stringMatching(/context_length.*truncate/),
    });
  });

  test('is left out', async () => {
    const { report, texts } = await run('drop', lines);
    expect(texts).toEqual([short]);
    expect(report).toMatchObject({
      error_count: 0,
      too_long: { rows: 2, dropped: 2, policy: 'drop' },
    });
  });

  test('is cut, and left out when nothing to learn is left', async () => {
    const { report, texts } = await run('cut', lines);
    expect(texts).toEqual([short, `${prompt}${'b'.repeat(12)}`]);
    expect(report).toMatchObject({ error_count: 0, too_long: { rows: 2, dropped: 1 } });
  });

  test('takes its pair with it', async () => {
    const pair = JSON.stringify({ prompt: 'q', chosen: 'a', rejected: 'b'.repeat(30) });
    const dropped = await run('drop', [pair]);
    expect(dropped.report).toMatchObject({ examples: 0, too_long: { rows: 1, dropped: 1 } });
    const cut = await run('cut', [pair]);
    expect(cut.texts).toEqual([short, `${prompt}${'b'.repeat(12)}`]);
  });
});
