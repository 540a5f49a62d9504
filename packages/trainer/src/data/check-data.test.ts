import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CorralError, type DataReport } from '@corral/contracts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CheckDataOptions, checkData, requireUsable } from './check-data.ts';
import { createChatTemplate } from './chat-template.ts';
import type { Encoder } from './encode.ts';
import { type Line, readLines } from './line-reader.ts';
import { inlineEncoder } from './row-encoder.ts';
import { byteLevelTokenizer } from './tokenizer.fake.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'corral-data-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const tokenizer = byteLevelTokenizer();
const encoder: Encoder = {
  tokenizer,
  template: createChatTemplate(null, tokenizer, 'test'),
  lossOn: 'assistant',
  contextLength: 64,
};
const good = '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}';

const check = (
  content: string | Uint8Array,
  { name = 'data.jsonl', ...options }: CheckDataOptions & { name?: string } = {},
): Promise<DataReport> => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return checkData(path, inlineEncoder(encoder), options);
};
const refusal = (report: DataReport): CorralError | null => {
  try {
    requireUsable(report);
    return null;
  } catch (error) {
    if (CorralError.isInstance(error)) return error;
    throw error;
  }
};
const message = (role: string, content: unknown, more = {}) => ({ role, content, ...more });
const row = (...messages: unknown[]): string => JSON.stringify({ messages });

describe('a row that cannot be used is named with reason and fix:', () => {
  test.each([
    ['not JSON', '{"messages": [', /not JSON/],
    ['a number', '12', /not an object/],
    ['unknown keys', '{"foo": 1}', /no known format has the keys \{foo\}/],
    ['messages no list', '{"messages": 3}', /"messages" is not a list/],
    ['no messages', '{"messages": []}', /there are no messages/],
    ['no assistant', row(message('user', 'a')), /no assistant message/],
    [
      'last not assistant',
      row(message('user', 'a'), message('assistant', 'b'), message('user', 'c')),
      /the last message is from "user"/,
    ],
    ['empty content', row(message('user', ' '), message('assistant', 'b')), /empty content/],
    ['null content', row(message('user', null), message('assistant', 'b')), /null, not text/],
    ['number content', row(message('user', 7), message('assistant', 'b')), /is 7, not text/],
    ['unknown role', row(message('robot', 'a'), message('assistant', 'b')), /role "robot"/],
    ['inherited role', row(message('constructor', 'a')), /role "constructor"/],
    ['missing role', row({ content: 'a' }), /has no role/],
    ['message no object', row('hello'), /messages\[0\] is not an object/],
    ['assistant first', row(message('assistant', 'b')), /before any user message/],
    [
      'late system',
      row(message('user', 'a'), message('system', 's'), message('assistant', 'b')),
      /messages\[1\] is a system message/,
    ],
    [
      'stray tool',
      row(message('user', 'a'), message('tool', 't'), message('assistant', 'b')),
      /without a tool call/,
    ],
    [
      'weight of wrong type',
      row(message('user', 'a'), message('assistant', 'b', { weight: 'x' })),
      /weight is "x"/,
    ],
    [
      'all weights 0',
      row(message('user', 'a'), message('assistant', 'b', { weight: 0 })),
      /every assistant message has weight 0/,
    ],
    [
      'too long',
      row(message('user', 'x'.repeat(99)), message('assistant', 'b')),
      /\d+ tokens do not fit context_length 64/,
    ],
    ['an image', row(message('user', [{ type: 'image_url' }])), /part that is not text/],
    ['an empty completion', '{"prompt": "a", "completion": ""}', /"completion" is empty/],
    ['no output', '{"instruction": "a"}', /"output" is missing/],
    ['an odd speaker', '{"conversations": [{"from": "cat", "value": "x"}]}', /from is "cat"/],
    ['no text', '{"text": 5}', /"text" is 5/],
  ])('%s', async (_name, line, reason) => {
    const report = await check(`${line}\n`);
    expect(report).toMatchObject({ rows: 1, error_count: 1, examples: 0 });
    expect(report.errors[0]?.row).toBe(1);
    expect(report.errors[0]?.reason).toMatch(reason);
    expect(report.errors[0]?.fix).not.toBe('');
  });

  test('bytes that are not UTF-8', async () => {
    const report = await check(
      Buffer.concat([Buffer.from(`${good}\n`), Buffer.from([0xff, 0x0a])]),
    );
    expect(report.errors).toEqual([
      { row: 2, reason: 'not valid UTF-8', fix: 'save the file as UTF-8' },
    ]);
  });

  test('an empty line between rows', async () => {
    const report = await check(`${good}\n\n${good}\n\n\n`);
    expect(report).toMatchObject({ rows: 3, examples: 2, error_count: 1 });
    expect(report.errors[0]).toMatchObject({ row: 2, reason: 'the row is empty' });
  });
});

describe('a data set', () => {
  test('is reported with all its errors, the first twenty in full', async () => {
    const report = await check(`${good}\n${'{}\n'.repeat(30)}`);
    expect(report).toMatchObject({ rows: 31, examples: 1, error_count: 30 });
    expect(report.errors.map((error) => error.row)).toEqual(
      Array.from({ length: 20 }, (_, index) => index + 2),
    );
    expect(refusal(report)).toMatchObject({
      code: 'data_invalid',
      details: { error_count: 30, rows: 31 },
    });
    const text = refusal(report)?.message;
    expect(text).toContain('30 of 31 rows');
    expect(text).toContain('row 2: "messages" is missing');
    expect(text).toContain('... and 10 more');
  });

  test('without rows is empty', async () => {
    const report = await check('\n\n');
    expect(report).toMatchObject({ rows: 0, examples: 0 });
    expect(() => {
      requireUsable(report);
    }).toThrow('has no examples');
  });

  test('may have CRLF, a byte-order mark and no last newline', async () => {
    const report = await check(`\uFEFF${good}\r\n${good}`);
    expect(report).toMatchObject({ rows: 2, examples: 2, error_count: 0, format: 'chat' });
  });

  test('is found to be of its format', async () => {
    const rows = {
      completion: '{"prompt": "a", "completion": "b"}',
      alpaca: '{"instruction": "a", "input": "c", "output": "b"}',
      sharegpt:
        '{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}',
      text: '{"text": "a b c"}',
    };
    for (const [format, line] of Object.entries(rows)) {
      expect(await check(line)).toMatchObject({ format, examples: 1, error_count: 0 });
    }
    const plain = await check('one\ntwo\n', { name: 'data.txt' });
    expect(plain).toMatchObject({ format: 'text', rows: 1, examples: 1 });
  });

  test('counts tokens and shows what is learned', async () => {
    const report = await check(`${good}\n${good}\n`, { preview: 1 });
    expect(report.tokens).toMatchObject({ total: 44, mean: 22, max: 22, p95: 22 });
    expect(report.loss_tokens).toBe(4);
    expect(report.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(report.preview).toEqual([
      {
        row: 1,
        segments: [
          { text: '<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n', loss: false },
          { text: 'b<|im_end|>', loss: true },
          { text: '\n', loss: false },
        ],
      },
    ]);
  });

  test('that is missing has a code', async () => {
    await expect(checkData(join(folder, 'nowhere'), inlineEncoder(encoder))).rejects.toMatchObject({
      code: 'file_not_found',
    });
  });
});

describe('lines', () => {
  test('beyond the limit are refused without being kept', async () => {
    const path = join(folder, 'long.jsonl');
    writeFileSync(path, `${'x'.repeat(50)}\nshort\n`);
    const lines: Line[] = [];
    for await (const line of readLines(path, { maxBytes: 10 })) lines.push(line);
    expect(lines[0]?.problem?.reason).toBe('the row has 50 bytes; the limit is 10');
    expect(lines[1]).toEqual({ row: 2, text: 'short' });
  });
});

describe('preference pairs', () => {
  const pair = '{"prompt": "q", "chosen": "a", "rejected": "b"}\n';

  test('are examples two by two, and shown so', async () => {
    const report = await check(pair, { preview: 1 });
    expect(report).toMatchObject({ format: 'preference', rows: 1, examples: 2, error_count: 0 });
    expect(report.preview.map(({ segments }) => segments[1]?.text)).toEqual([
      'a<|im_end|>',
      'b<|im_end|>',
    ]);
  });

  test('are for one method alone', async () => {
    const never = await check(pair, { pairs: 'never' });
    expect(never.errors[0]?.fix).toContain('method dpo');
    const only = await check(`${good}\n`, { pairs: 'only' });
    expect(only.errors[0]?.reason).toContain('no preference pair');
  });
});

describe('the same rows in another container', () => {
  const rows = [
    { prompt: 'what, "exactly"?', completion: 'this\nand that' },
    { prompt: 'ä', completion: '' },
    { prompt: 'c', completion: 'd' },
  ];
  const cell = (text: string): string => `"${text.replaceAll('"', '""')}"`;
  const table = (delimiter: string): string =>
    ['prompt', ...rows.map(({ prompt }) => cell(prompt))]
      .map(
        (first, index) =>
          `${first}${delimiter}${['completion', ...rows.map(({ completion }) => cell(completion))][index]}`,
      )
      .join('\r\n');

  test.each([
    ['JSON lines', 'a.jsonl', rows.map((line) => JSON.stringify(line)).join('\n'), 2],
    ['JSON list', 'a.json', JSON.stringify(rows, null, 2), 2],
    ['JSON objects', 'b.json', rows.map((line) => JSON.stringify(line, null, 2)).join('\n'), 2],
    ['CSV', 'a.csv', table(','), 3],
    ['CSV', 'b.csv', table(';'), 3],
    ['CSV', 'a.tsv', table('\t'), 3],
  ])('%s (%s) has the same examples and the same bad row', async (container, name, text, row) => {
    const report = await check(text, { name });
    expect(report).toMatchObject({
      format: 'completion',
      container,
      rows: 3,
      examples: 2,
      tokens: { total: 71 },
      errors: [{ row, reason: expect.stringMatching(/"completion" is (empty|missing)/) }],
    });
  });

  test('that is a table may hold messages', async () => {
    const messages = cell(JSON.stringify([message('user', 'a'), message('assistant', 'b')]));
    const pairs = `prompt,chosen,rejected\n[x,${cell('[{"role": "assistant", "content": "y"}]')},z\n`;
    expect(await check(`id,messages\n7,${messages}\n`, { name: 'm.csv' })).toMatchObject({
      format: 'chat',
      examples: 1,
    });
    expect(await check(pairs, { name: 'p.csv' })).toMatchObject({
      format: 'preference',
      examples: 2,
      error_count: 0,
    });
    const python = `messages\n"[{'role': 'user', 'content': 'a'}]"\n`;
    const report = await check(python, { name: 'python.csv' });
    expect(report.errors[0]?.fix).toContain('json.dumps');
  });

  test.each([
    ['text,text\na,b\n', 'twice'],
    ['prompt,completion\na,b,c\n', '3 fields, the header 2'],
    ['prompt,completion\na\n', '1 fields, the header 2'],
    ['id,name\n1,x\n', 'no known format has the keys {id, name}'],
  ])('that is a table with something wrong: %j', async (text, reason) => {
    const report = await check(text, { name: 'wrong.csv' });
    expect(report.error_count).toBe(1);
    expect(report.errors[0]?.reason).toContain(reason);
  });

  test('that is compressed is refused once', async () => {
    const report = await check(Buffer.from([0x1f, 0x8b, 8, 0, 1, 2, 3, 10, 10]));
    expect(report).toMatchObject({ rows: 1, error_count: 1 });
    expect(report.errors[0]).toMatchObject({ fix: 'unpack it first' });
  });
});

test('a row that nests without end is refused', async () => {
  const deep = `{"messages": ${'['.repeat(50_000)}${']'.repeat(50_000)}}`;
  const list = `{"a": 1}\n${'['.repeat(50_000)}${']'.repeat(50_000)}\n`;
  expect((await check(deep)).errors[0]?.reason).toContain('nests deeper');
  expect((await check(list)).error_count).toBe(2);
});

describe('ShareGPT', () => {
  const rowOf = (conversations: unknown[], more = {}) => JSON.stringify({ conversations, ...more });
  const turn = (from: string, value: string) => ({ from, value });

  test('knows the speakers of its exports, and calls', async () => {
    const call = JSON.stringify({ name: 'map', arguments: { city: 'Ur' } });
    const text = rowOf(
      [
        turn('human', 'x'),
        turn('function_call', call),
        turn('observation', 'east'),
        turn('gpt', 'go'),
      ],
      { system: 's', tools: '[]' },
    );
    const report = await check(text, { preview: 1 });
    expect(report.error_count).toBe(1);
    expect(report.errors[0]?.reason).toContain('template');
  });

  test.each([
    [rowOf([turn('human', 'a'), turn('function_call', 'map')]), /not JSON/],
    [rowOf([turn('human', 'a'), turn('function_call', '{}')]), /calls no function/],
    [rowOf([turn('human', 'a'), turn('gpt', 'b')], { tools: 'x' }), /"tools" is not JSON/],
  ])('refuses %s', async (text, reason) => {
    expect((await check(text)).errors[0]?.reason).toMatch(reason);
  });
});

test('Alpaca may have earlier turns', async () => {
  const text = JSON.stringify({
    instruction: 'c',
    output: 'd',
    system: 's',
    history: [['a', 'b']],
  });
  const report = await check(text, { preview: 1 });
  const learned = report.preview[0]?.segments.filter(({ loss }) => loss);
  expect(learned?.map((segment) => segment.text)).toEqual(['b<|im_end|>', 'd<|im_end|>']);
});
