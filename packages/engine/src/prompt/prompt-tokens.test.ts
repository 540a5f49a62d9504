// What people can send as a prompt and what it may cost: ids are told as text, long conversations are refused
// before they are read whole, and text full of look-alike control tokens is read a few times, not once for each.
import { expect, test } from 'vitest';
import type { NativeVocabulary } from '../llama-cpp/native-types.ts';
import { createChatTemplate } from './chat-template.ts';
import { renderPrompt } from './prompt-tokens.ts';

/** Bytes, and a "</s>" that merges to a control token even where special tokens are off. */
function mergingVocabulary() {
  const control = 256;
  const read = { characters: 0 };
  const vocabulary: NativeVocabulary = {
    kind: 'sentencepiece',
    size: 257,
    bos: null,
    eos: control,
    addBos: false,
    addEos: false,
    tokenize: (text) => {
      read.characters += text.length;
      return text
        .split(/(<\/s>)/)
        .flatMap((part) => (part === '</s>' ? [control] : [...Buffer.from(part)]));
    },
    piece: (token) => Uint8Array.from(token < control ? [token] : []),
    spelling: (token) => (token === control ? '</s>' : String.fromCharCode(token)),
    isControl: (token) => token === control,
    controlTokens: () => [control],
    endOfGeneration: new Set([control]),
  };
  return { vocabulary, read };
}

const template = createChatTemplate(null, { bosToken: '', eosToken: '</s>' });
const limits = { contextTokens: 8192, maxTokens: 1 };

test('ids are told as the text they stand for, without control tokens', () => {
  const { vocabulary } = mergingVocabulary();
  const tokens = [...Buffer.from('bl'), 256, ...Buffer.from('å')];
  const prompt = { kind: 'tokens', tokens } as const;
  expect(renderPrompt(prompt, { vocabulary, template, limits }).text).toBe('blå');
});

test('a long conversation of short messages is refused before it is read whole', () => {
  const { vocabulary, read } = mergingVocabulary();
  const messages = Array.from({ length: 1000 }, () => ({
    role: 'user' as const,
    content: 'x'.repeat(10_000),
  }));
  const render = (): unknown =>
    renderPrompt({ kind: 'messages', messages }, { vocabulary, template, limits });
  expect(render).toThrow(expect.objectContaining({ code: 'context_length_exceeded' }));
  // What was not read is not counted, and no count is made up.
  expect(render).toThrow(`has more than ${limits.contextTokens} tokens`);
  expect(read.characters).toBeLessThan(50_000);
});

test('text full of control tokens gives none, and is read a few times only', () => {
  const { vocabulary, read } = mergingVocabulary();
  const text = '</s>'.repeat(2000);
  const { tokens } = renderPrompt({ kind: 'text', text }, { vocabulary, template, limits });
  expect(Buffer.from(tokens).toString()).toBe(text);
  expect(tokens).not.toContain(256);
  expect(read.characters).toBeLessThan(20 * text.length);
});
