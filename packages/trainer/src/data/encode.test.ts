import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createChatTemplate } from './chat-template.ts';
import { type Encoder, encodeChat, encodePrompt, encodeText, weighExample } from './encode.ts';
import type { ChatExample, ChatMessage } from './example.ts';
import { byteLevelTokenizer, sentencePieceTokenizer } from './tokenizer.fake.ts';

const tokenizer = byteLevelTokenizer();
const encoderOf = (options: Partial<Encoder> = {}): Encoder => ({
  tokenizer,
  template: createChatTemplate(null, tokenizer, 'test'),
  lossOn: 'assistant',
  contextLength: 4096,
  ...options,
});
const chat = (...messages: ChatMessage[]): ChatExample => ({ kind: 'chat', messages });
const user = (content: string): ChatMessage => ({ role: 'user', content });
const assistant = (content: string, weight?: number): ChatMessage => ({
  role: 'assistant',
  content,
  ...(weight === undefined ? {} : { weight }),
});

/** What is learned, as text. */
const learned = (example: ChatExample, options: Partial<Encoder> = {}): string => {
  const { tokens, weights } = encodeChat(example, encoderOf(options));
  return tokenizer.decode([...tokens].filter((_, index) => (weights[index] ?? 0) > 0));
};

describe('the loss mask', () => {
  const example = chat(user('hi'), assistant('hello'), user('bye'), assistant('so long'));

  test('holds assistant turns with their end-of-turn token', () => {
    expect(learned(example)).toBe('hello<|im_end|>so long<|im_end|>');
  });

  test('holds the last turn only when asked', () => {
    expect(learned(example, { lossOn: 'last' })).toBe('so long<|im_end|>');
  });

  test('holds everything but the first token when asked', () => {
    const text = 'user\nhi<|im_end|>\n<|im_start|>assistant\nhello<|im_end|>\n';
    expect(learned(chat(user('hi'), assistant('hello')), { lossOn: 'all' })).toBe(text);
  });

  test('follows the weight of a message', () => {
    expect(learned(chat(user('a'), assistant('b', 0), user('c'), assistant('d')))).toBe(
      'd<|im_end|>',
    );
  });

  test('leaves out what follows the last scored token', () => {
    const { tokens } = encodeChat(example, encoderOf());
    expect(tokens.at(-1)).toBe(tokenizer.idOf('<|im_end|>'));
  });

  test('is what preview shows', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ minLength: 1 }), { minLength: 2, maxLength: 8 }),
        (texts) => {
          const usable = texts.filter((text) => text.trim() !== '');
          fc.pre(usable.length >= 2);
          const turns = usable
            .slice(0, usable.length - (usable.length % 2))
            .map((text, index) => (index % 2 === 0 ? user(text) : assistant(text)));
          const shown = weighExample(chat(...turns), encoderOf())
            .filter(({ weight }) => weight > 0)
            .map(({ text }) => text)
            .join('');
          expect(learned(chat(...turns))).toBe(shown);
          expect(shown).toBe(
            turns
              .filter((turn) => turn.role === 'assistant')
              .map(({ content }) => `${content}<|im_end|>`)
              .join(''),
          );
        },
      ),
    );
  });
});

describe('a rendered conversation', () => {
  test('has the ids of the whole text when contents are harmless', () => {
    const messages = [user('hello hello'), assistant('hello')];
    const text = '<|im_start|>user\nhello hello<|im_end|>\n<|im_start|>assistant\nhello<|im_end|>';
    const { tokens } = encodeChat(chat(...messages), encoderOf());
    expect([...tokens]).toEqual(tokenizer.encode(text, { special: true, first: true }));
  });

  test('takes control tokens from the template alone', () => {
    const control = '<|im_end|>\n<|im_start|>assistant\n';
    const ids = encodePrompt([user(control)], encoderOf());
    expect(ids.filter((id) => tokenizer.isControl(id))).toHaveLength(3);
    expect(tokenizer.decode(ids)).toContain(control);
  });

  test('is the start of the training example', () => {
    const { tokens } = encodeChat(chat(user('a'), assistant('b')), encoderOf());
    const prompt = encodePrompt([user('a')], encoderOf());
    expect(Array.from(tokens.slice(0, prompt.length))).toEqual(prompt);
  });

  test('has contents trimmed where the template trims them', () => {
    const source = `{% for message in messages %}[{{ message.content | trim }}]{% endfor %}`;
    const template = createChatTemplate(source, tokenizer, 'test');
    const pieces = template.render([user('  a '), assistant('b')], { addGenerationPrompt: false });
    expect(pieces.map(({ text }) => text).join('')).toBe('[a][b]');
    expect(template.matches([user(' a ')], { addGenerationPrompt: false })).toBe(true);
  });

  test('is known not to match when the template rewrites contents', () => {
    const source = `{% for message in messages %}{{ message.content | replace('a', 'b') }}{% endfor %}`;
    const template = createChatTemplate(source, tokenizer, 'test');
    expect(template.matches([user('a')], { addGenerationPrompt: false })).toBe(false);
  });

  test('gets one BOS and one space prefix with SentencePiece', () => {
    const spm = sentencePieceTokenizer();
    const source = `{{ bos_token }}{% for m in messages %}[{{ m.content }}]{% endfor %}`;
    const template = createChatTemplate(source, spm, 'test');
    const ids = encodePrompt([user('hi')], { tokenizer: spm, template });
    expect(ids).toEqual(['<|endoftext|>', '▁', '[', 'hi', ']'].map((token) => spm.idOf(token)));
  });
});

describe('a template that puts more between prompt and answer', () => {
  const source = `{% for m in messages %}{% if m.role == 'user' %}[{{ m.content }}]{% else %} {{ m.content }} {{ eos_token }}{% endif %}{% endfor %}`;
  const template = createChatTemplate(source, tokenizer, 'test');
  const example = chat(user('a'), assistant('b <|im_end|> c'), user('d'), assistant('e'));

  test('has it learned with the answer, up to the end of turn', () => {
    expect(learned(example, { template })).toBe(' b <|im_end|> c <|im_end|> e <|im_end|>');
  });

  test('gives the ids of the prompt first', () => {
    const { tokens } = encodeChat(chat(user('a'), assistant('b')), encoderOf({ template }));
    const prompt = encodePrompt([user('a')], { tokenizer, template });
    expect(Array.from(tokens.slice(0, prompt.length))).toEqual(prompt);
  });

  test('may not leave a message out', () => {
    const deaf = createChatTemplate(`{{ messages[0].content }}`, tokenizer, 'test');
    expect(() => encodeChat(example, encoderOf({ template: deaf }))).toThrow(
      'leaves out messages[1] (assistant)',
    );
  });
});

describe('tool calls', () => {
  const source = `{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% for c in m.tool_calls or [] %}CALL {{ c.function.name }} {{ c.function.arguments | tojson }}{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}`;
  const call = (name: string): ChatMessage => ({
    role: 'assistant',
    content: '',
    tool_calls: [{ type: 'function', function: { name, arguments: { city: 'Ur' } } }],
  });
  const template = createChatTemplate(source, tokenizer, 'test');

  test('are learned as the template prints them', () => {
    const example = chat(
      user('x'),
      call('map'),
      { role: 'tool', content: 'east' },
      assistant('go'),
    );
    expect(learned(example, { template })).toBe('CALL map {"city": "Ur"}<|im_end|>go<|im_end|>');
  });

  test('may not smuggle in control tokens', () => {
    const example = chat(user('x'), call('<|im_end|>'));
    expect(() => encodeChat(example, encoderOf({ template }))).toThrow('control token');
  });
});

describe('length', () => {
  test('beyond the context is an error that says the numbers', () => {
    const example = chat(user('abc'), assistant('defgh'));
    expect(() => encodeChat(example, encoderOf({ contextLength: 8 }))).toThrow(
      /tokens do not fit context_length 8/,
    );
  });

  test('of plain text is cut into blocks that learn each token once', () => {
    const text = 'abcdefghijklmnopqrstuvwxyz';
    const blocks = encodeText({ kind: 'text', text }, encoderOf({ contextLength: 8 }));
    const scored = blocks.flatMap(({ tokens, weights }) =>
      [...tokens].filter((_, index) => (weights[index] ?? 0) > 0),
    );
    expect(tokenizer.decode(scored)).toBe(`${text.slice(1)}<|im_end|>`);
    expect(Math.max(...blocks.map(({ tokens }) => tokens.length))).toBe(8);
  });
});
