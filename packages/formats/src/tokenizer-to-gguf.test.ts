// Tokenizer files go to GGUF and back; what GGUF cannot say is refused. Token ids are compared with
// llama.cpp in tests/native/tokenizer.native.ts.
import { describe, expect, test } from 'vitest';
import { metadataNumbers, metadataString, metadataStrings } from './gguf-metadata.ts';
import {
  plainTextTokenizer,
  tokenizerJsonFromGguf,
  type TokenizerFiles,
} from './tokenizer-from-gguf.ts';
import { ggufTokenizerFromJson } from './tokenizer-to-gguf.ts';

const byteLevel = { type: 'ByteLevel', add_prefix_space: false, use_regex: true };
const files: TokenizerFiles = {
  tokenizerJson: {
    added_tokens: [
      { id: 5, content: '<|im_end|>', special: true },
      { id: 6, content: '<tool>', special: false },
    ],
    normalizer: null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [{ type: 'Digits', individual_digits: true }, byteLevel],
    },
    model: {
      type: 'BPE',
      vocab: { a: 0, b: 1, ab: 2, Ġ: 3 },
      merges: ['a b'],
    },
  },
  tokenizerConfig: { eos_token: { content: '<|im_end|>' }, chat_template: '{{ messages }}' },
};

const withJson = (change: Record<string, unknown>): TokenizerFiles => ({
  ...files,
  tokenizerJson: { ...files.tokenizerJson, ...change },
});

describe('a byte-level tokenizer.json', () => {
  const metadata = ggufTokenizerFromJson(files);

  test('becomes GGUF metadata with its holes filled', () => {
    expect(metadataString(metadata, 'tokenizer.ggml.pre')).toBe('smollm');
    expect(metadataStrings(metadata, 'tokenizer.ggml.tokens')).toEqual([
      'a',
      'b',
      'ab',
      'Ġ',
      '[PAD4]',
      '<|im_end|>',
      '<tool>',
    ]);
    expect([...(metadataNumbers(metadata, 'tokenizer.ggml.token_type') as Int32Array)]).toEqual([
      1, 1, 1, 1, 5, 3, 4,
    ]);
    expect(metadata.get('tokenizer.ggml.eos_token_id')).toEqual({ type: 'uint32', value: 5 });
  });

  test('comes back with the same tokens, merges and template', () => {
    const { tokenizerJson, tokenizerConfig } = tokenizerJsonFromGguf(metadata);
    expect(tokenizerJson['model']).toMatchObject({ merges: [['a', 'b']], vocab: { ab: 2 } });
    expect(tokenizerJson['added_tokens']).toMatchObject([
      { id: 5, content: '<|im_end|>', special: true },
      { id: 6, content: '<tool>', special: false },
    ]);
    expect(tokenizerConfig).toMatchObject({
      eos_token: '<|im_end|>',
      bos_token: null,
      chat_template: '{{ messages }}',
    });
  });

  test('for plain text knows user-defined tokens only', () => {
    const plain = plainTextTokenizer(tokenizerJsonFromGguf(metadata));
    expect(plain.tokenizerJson['added_tokens']).toMatchObject([{ content: '<tool>' }]);
  });

  test.each([
    ['another model', withJson({ model: { type: 'Unigram', vocab: [] } }), /"Unigram"/],
    ['another cut', withJson({ pre_tokenizer: { type: 'Whitespace' } }), /pre_tokenizer/],
    ['another normalizer', withJson({ normalizer: { type: 'Lowercase' } }), /normalizer/],
  ])('with %s is not supported', (_, other, says) => {
    expect(() => ggufTokenizerFromJson(other)).toThrow(says);
    expect(() => ggufTokenizerFromJson(other)).toThrow(
      expect.objectContaining({ code: 'model_unsupported' }),
    );
  });

  test.each([
    ['no model', withJson({ model: null }), /no "model"/],
    [
      'an id twice',
      withJson({ model: { vocab: { a: 0, b: 0 }, merges: [] } }),
      /id 0 stands twice/,
    ],
    ['a huge id', withJson({ model: { vocab: { a: 2 ** 40 }, merges: [] } }), /has the id/],
    ['a broken merge', withJson({ model: { vocab: { a: 0 }, merges: ['a'] } }), /"a" is no pair/],
    [
      'an unknown end token',
      { ...files, tokenizerConfig: { eos_token: '</s>' } },
      /"<\/s>", which is not in the vocabulary/,
    ],
  ])('with %s is invalid', (_, broken, says) => {
    expect(() => ggufTokenizerFromJson(broken)).toThrow(says);
  });
});

describe('a SentencePiece tokenizer.json', () => {
  const vocab = { '<unk>': 0, '<s>': 1, '▁': 2, a: 3, b: 4, '▁a': 5, ab: 6, '▁ab': 7 };
  const metadata = ggufTokenizerFromJson({
    tokenizerJson: {
      added_tokens: [{ id: 1, content: '<s>', special: true }],
      normalizer: { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }] },
      post_processor: {
        type: 'TemplateProcessing',
        single: [{ SpecialToken: { id: '<s>' } }, { Sequence: { id: 'A' } }],
      },
      model: {
        type: 'BPE',
        byte_fallback: true,
        vocab,
        merges: ['a b', '▁ a', '▁ ab', '▁a b'],
      },
    },
    tokenizerConfig: { bos_token: '<s>' },
  });

  test('has scores in the order of its merges', () => {
    const scores = metadataNumbers(metadata, 'tokenizer.ggml.scores') as Float32Array;
    expect([...scores]).toEqual([0, 0, 0, 0, 0, -2, -1, -3]);
    expect(metadata.get('tokenizer.ggml.add_bos_token')).toEqual({ type: 'bool', value: true });
  });

  test('comes back with all merges, best first, and its prefix and first token', () => {
    const { tokenizerJson } = tokenizerJsonFromGguf(metadata);
    expect(tokenizerJson['model']).toMatchObject({
      merges: [
        ['a', 'b'],
        ['▁', 'a'],
        ['▁', 'ab'],
        ['▁a', 'b'],
      ],
    });
    expect(JSON.stringify(tokenizerJson['normalizer'])).toContain('Prepend');
    expect(tokenizerJson['post_processor']).toMatchObject({
      special_tokens: { '<s>': { ids: [1] } },
    });
  });
});
