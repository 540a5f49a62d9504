import { describe, expect, test } from 'vitest';
import { createChatTemplate } from './chat-template.ts';
import { type Encoder, encodeExample } from './encode.ts';
import { detectFormat, readExample } from './formats.ts';
import { byteLevelTokenizer } from './tokenizer.fake.ts';

const tokenizer = byteLevelTokenizer();
const encoder: Encoder = {
  tokenizer,
  template: createChatTemplate(null, tokenizer, 'test'),
  lossOn: 'assistant',
  contextLength: 128,
};
const user = (content: string) => ({ role: 'user', content });
const assistant = (content: string) => ({ role: 'assistant', content });

/** Whole text and learned text of both sides. */
const sides = (row: Record<string, unknown>, options: Partial<Encoder> = {}) =>
  encodeExample(readExample(row, null), { ...encoder, ...options }).map(({ tokens, weights }) => ({
    text: tokenizer.decode([...tokens]),
    learned: tokenizer.decode([...tokens].filter((_, index) => (weights[index] ?? 0) > 0)),
  }));

const prompt = '<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n';
const expected = ['good', 'bad'].map((answer) => ({
  text: `${prompt}${answer}<|im_end|>`,
  learned: `${answer}<|im_end|>`,
}));

describe('a preference pair', () => {
  test.each([
    [
      "OpenAI's",
      {
        input: { messages: [user('q')], tools: [], parallel_tool_calls: true },
        preferred_output: [assistant('good')],
        non_preferred_output: [assistant('bad')],
      },
    ],
    ['with texts', { prompt: 'q', chosen: 'good', rejected: 'bad' }],
    [
      'with messages',
      { prompt: [user('q')], chosen: [assistant('good')], rejected: [assistant('bad')] },
    ],
    [
      'with single messages',
      { prompt: 'q', chosen: assistant('good'), rejected: assistant('bad') },
    ],
    [
      'with a common beginning',
      { chosen: [user('q'), assistant('good')], rejected: [user('q'), assistant('bad')] },
    ],
    [
      'that repeats its prompt',
      {
        prompt: 'q',
        chosen: [user('q'), assistant('good')],
        rejected: [user('q'), assistant('bad')],
      },
    ],
    [
      'as a dialogue',
      { chosen: '\n\nHuman: q\n\nAssistant: good', rejected: '\n\nHuman: q\n\nAssistant: bad' },
    ],
  ])('%s becomes chosen, then rejected', (_name, row) => {
    expect(detectFormat(row)).toBe('preference');
    expect(sides(row)).toEqual(expected);
    // What is learned is the answers, whatever else the run would learn from.
    expect(sides(row, { lossOn: 'all' })).toEqual(expected);
  });

  test('learns no answer of the prompt', () => {
    const start = [user('a'), assistant('b'), user('c')];
    const row = { chosen: [...start, assistant('d')], rejected: [...start, assistant('e')] };
    expect(sides(row).map(({ learned }) => learned)).toEqual(['d<|im_end|>', 'e<|im_end|>']);
  });

  test('may have a system message', () => {
    const row = { system: 's', prompt: 'q', chosen: 'x', rejected: 'y' };
    expect(sides(row)[1]?.text).toContain('<|im_start|>system\ns<|im_end|>');
  });

  test('ignores weights', () => {
    const answer = { ...assistant('x'), weight: 0 };
    expect(sides({ prompt: 'q', chosen: [answer], rejected: 'y' })[0]?.learned).toBe('x<|im_end|>');
  });

  test.each([
    ['equal answers', { prompt: 'q', chosen: 'a', rejected: 'a' }, /the same/],
    ['no rejected', { prompt: 'q', chosen: 'a', rejected: null }, /"rejected" is null/],
    ['an empty answer', { prompt: 'q', chosen: ' ', rejected: 'a' }, /"chosen" is/],
    ['texts without prompt', { chosen: 'a', rejected: 'b' }, /no "prompt"/],
    [
      'nothing in common',
      { chosen: [user('a'), assistant('b')], rejected: [user('c'), assistant('d')] },
      /no common beginning/,
    ],
    ['an answer of a user', { prompt: 'q', chosen: [user('a')], rejected: 'b' }, /"user"/],
    ['no input', { preferred_output: [assistant('a')], non_preferred_output: [] }, /"input"/],
    [
      'no messages',
      { input: {}, preferred_output: [assistant('a')], non_preferred_output: [] },
      /input.messages/,
    ],
    [
      'an empty output',
      { input: { messages: [user('a')] }, preferred_output: [], non_preferred_output: [] },
      /begins with nothing/,
    ],
    [
      'a long answer',
      { prompt: 'q', chosen: 'a', rejected: 'b'.repeat(200) },
      /^\d+ tokens do not fit/,
    ],
  ])('with %s is refused', (_name, row, reason) => {
    expect(() => sides(row)).toThrow(reason);
  });
});
