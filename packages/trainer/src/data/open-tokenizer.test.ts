// Every form in which a folder says what its tokenizer and template are, and ids against the sentencepiece
// library (packages/formats/reference/make-sentencepiece.py).
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openTokenizer } from './open-tokenizer.ts';
import { byteLevelFiles } from './tokenizer.fake.ts';

const reference = (name: string): URL =>
  new URL(`../../../formats/reference/sentencepiece/${name}`, import.meta.url);
const expected = JSON.parse(readFileSync(reference('expected.json'), 'utf8')) as Record<
  string,
  { text: string; ids: number[] }[]
>;

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'corral-tokenizer-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});
const write = (name: string, content: unknown): void => {
  writeFileSync(
    join(folder, name),
    typeof content === 'string' ? content : JSON.stringify(content),
  );
};
const writeModel = (name: string): void => {
  writeFileSync(join(folder, 'tokenizer.model'), readFileSync(reference(`${name}.model`)));
};

describe('tokenizer.model', () => {
  test.each(Object.keys(expected))('%s gives the ids of sentencepiece', async (name) => {
    writeModel(name);
    const tokenizer = await openTokenizer(folder);
    for (const { text, ids } of expected[name] ?? []) {
      expect({ text, ids: tokenizer.encode(text, { special: false, first: true }) }).toEqual({
        text,
        ids,
      });
    }
    expect(tokenizer).toMatchObject({ bosId: 1, eosId: 2, bosToken: '<s>', eosToken: '</s>' });
    expect(tokenizer.withBos([5])).toEqual([1, 5]);
  });

  test('takes added tokens, special ones and the template from beside it', async () => {
    writeModel('llama');
    write('added_tokens.json', { '<pad>': 700 });
    write('special_tokens_map.json', { pad_token: { content: '<pad>' }, eos_token: '</s>' });
    write('tokenizer_config.json', {
      add_bos_token: false,
      chat_template: 'a template',
      eos_token: '<|end|>',
      added_tokens_decoder: {
        '1': { content: '<s>', special: true },
        '701': { content: '<|end|>', special: true },
        '702': { content: '<tool>', special: false },
      },
    });
    const tokenizer = await openTokenizer(folder);
    expect(tokenizer).toMatchObject({
      eosToken: '<|end|>',
      eosId: 701,
      chatTemplate: 'a template',
    });
    expect(tokenizer.withBos([5])).toEqual([5]);
    expect(tokenizer.isControl(701)).toBe(true);
    expect(tokenizer.encode('<tool>', { special: false, first: false })).toEqual([702]);
    expect(tokenizer.encode('<|end|>', { special: false, first: false })).not.toContain(701);
    expect(tokenizer.encode('<|end|>', { special: true, first: false })).toEqual([701]);
  });

  test.each([
    ['unigram', 'no byte-pair model'],
    ['rewrites', 'rewrites characters'],
    ['extra-spaces', 'removes repeated spaces'],
  ])('%s is refused by name', async (name, reason) => {
    writeModel(name);
    await expect(openTokenizer(folder)).rejects.toMatchObject({
      code: 'model_unsupported',
      message: expect.stringContaining(reason),
    });
  });

  test('that is damaged is refused, whatever is wrong', async () => {
    const whole = readFileSync(reference('llama.model'));
    for (let cut = 1; cut < whole.length; cut += 997) {
      const bytes = Buffer.from(whole);
      bytes[cut] = 0xff;
      writeFileSync(join(folder, 'tokenizer.model'), cut % 2 ? bytes : whole.subarray(0, cut));
      await openTokenizer(folder).catch((error: unknown) => {
        expect(error).toMatchObject({ name: 'CorralError' });
      });
    }
  });
});

describe('a chat template', () => {
  const { tokenizerJson, tokenizerConfig } = byteLevelFiles();
  const templateOf = async (): Promise<string | null> => (await openTokenizer(folder)).chatTemplate;
  beforeEach(() => {
    write('tokenizer.json', tokenizerJson);
  });

  test('may stand in the settings', async () => {
    write('tokenizer_config.json', { ...tokenizerConfig, chat_template: 'one' });
    expect(await templateOf()).toBe('one');
  });

  test('may be one of several: the default, else the first', async () => {
    const tool = { name: 'tool_use', template: 'two' };
    const list = [tool, { name: 'default', template: 'one' }];
    write('tokenizer_config.json', { ...tokenizerConfig, chat_template: list });
    expect(await templateOf()).toBe('one');
    write('tokenizer_config.json', { ...tokenizerConfig, chat_template: [tool] });
    expect(await templateOf()).toBe('two');
  });

  test('may be a file of its own, which counts more', async () => {
    write('tokenizer_config.json', { ...tokenizerConfig, chat_template: 'one' });
    write('chat_template.jinja', 'three');
    expect(await templateOf()).toBe('three');
  });

  test('may be absent', async () => {
    expect(await templateOf()).toBeNull();
  });
});

test('a folder without a tokenizer says so', async () => {
  await expect(openTokenizer(folder)).rejects.toMatchObject({
    code: 'model_unsupported',
    message: expect.stringContaining('neither tokenizer.json nor tokenizer.model'),
  });
});
