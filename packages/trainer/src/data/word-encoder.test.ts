// Word by word gives what the whole text gives, for every way in which texts are cut.
import { Tokenizer } from '@huggingface/tokenizers';
import {
  type GgufMetadata,
  gguf,
  plainTextTokenizer,
  tokenizerJsonFromGguf,
} from '@corral/formats';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { byteLevelFiles } from './tokenizer.fake.ts';
import { createWordEncoder } from './word-encoder.ts';

const byteCharacters = Object.keys(
  (byteLevelFiles().tokenizerJson['model'] as { vocab: Record<string, number> }).vocab,
).slice(0, 256);

/** Merges that make words, runs of spaces, digits and halves of characters. */
const merges = [
  'h e',
  'l l',
  'he ll',
  'hell o',
  'Ġ hello',
  'Ġ Ġ',
  'ĠĠ ĠĠ',
  '1 2',
  '12 3',
  'Ã ©',
  'Ċ Ċ',
];
const byteLevel = (pre: string): GgufMetadata =>
  new Map([
    ['tokenizer.ggml.model', gguf.string('gpt2')],
    ['tokenizer.ggml.pre', gguf.string(pre)],
    ['tokenizer.ggml.merges', gguf.strings(merges)],
    [
      'tokenizer.ggml.tokens',
      gguf.strings([...byteCharacters, ...merges.map((pair) => pair.replace(' ', ''))]),
    ],
  ]);

const pieces = ['▁', 'h', 'i', 'l', 'o', 'hi', '▁hi', '▁▁', '▁▁▁▁', 'll', 'é', '1', '<0x31>'];
const sentencePiece = (more: readonly string[] = []): GgufMetadata => {
  const bytes = Array.from(
    { length: 256 },
    (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
  );
  const tokens = ['<unk>', ...new Set([...bytes, ...pieces, ...more])];
  return new Map([
    ['tokenizer.ggml.model', gguf.string('llama')],
    ['tokenizer.ggml.add_space_prefix', gguf.bool(false)],
    ['tokenizer.ggml.tokens', gguf.strings(tokens)],
    ['tokenizer.ggml.scores', gguf.float32s(tokens.map((_, id) => -id))],
    [
      'tokenizer.ggml.token_type',
      gguf.int32s(tokens.map((_, id) => (id === 0 ? 2 : id <= 256 ? 6 : 1))),
    ],
  ]);
};

const open = (metadata: GgufMetadata) => {
  const { tokenizerJson, tokenizerConfig } = plainTextTokenizer(tokenizerJsonFromGguf(metadata));
  const inner = new Tokenizer(tokenizerJson, tokenizerConfig);
  return {
    words: createWordEncoder(tokenizerJson, inner),
    whole: (text: string): number[] => inner.encode(text, { add_special_tokens: false }).ids,
  };
};

const unit = fc.constantFrom(
  ...[
    ..."hello  \n\t\r 123'sTé¿,.!?_▁",
    'hello',
    '\u00a0',
    '\u0085',
    '\ufeff',
    '\u2003',
    '🙂',
    '中',
    '½',
    'e\u0301',
  ],
);
const texts = fc.oneof(
  fc.string({ unit, maxLength: 40 }),
  fc.string({ unit: 'binary', maxLength: 20 }),
);

describe.each([
  ...['default', 'llama-bpe', 'smollm', 'gpt-2', 'qwen2'].map(
    (pre) => [pre, byteLevel(pre)] as const,
  ),
  ['sentencepiece', sentencePiece()] as const,
])('words cut as %s', (_name, metadata) => {
  const { words, whole } = open(metadata);

  test('give the ids of the whole text', () => {
    expect(words).not.toBeNull();
    fc.assert(
      fc.property(texts, (text) => {
        expect(words?.(text)).toEqual(whole(text));
        // And again, from the cache.
        expect(words?.(text)).toEqual(whole(text));
      }),
      { numRuns: 300 },
    );
  });
});

test('a vocabulary whose tokens cross spaces is not cut at them', () => {
  expect(open(sentencePiece(['o▁h'])).words).toBeNull();
});
