// Token ids of @huggingface/tokenizers, fed with what @corral/formats makes of GGUF metadata, are those of
// llama.cpp: for the true Llama 2 vocabulary (SentencePiece), SmolLM2's and the rehearsal model's (byte-pair).
// Meta's vocabulary is not in this repository: it comes from the dev dependency llama-tokenizer-js.
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Tokenizer } from '@huggingface/tokenizers';
import llamaTokenizer from 'llama-tokenizer-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  gguf,
  ggufTokenizerFromJson,
  openFileSource,
  plainTextTokenizer,
  readGguf,
  tokenizerJsonFromGguf,
  type GgufMetadata,
  type TokenizerFiles,
} from '@corral/formats';
import {
  llamaVocabularyOf,
  openLlamaVocabulary,
  type LlamaVocabulary,
} from './llama-vocabulary.ts';
import { tokenizerCorpus, writtenTexts } from './tokenizer-corpus.ts';

const open = ({ tokenizerJson, tokenizerConfig }: TokenizerFiles): Tokenizer =>
  new Tokenizer(tokenizerJson, tokenizerConfig);

const encode = (tokenizer: Tokenizer, text: string): number[] =>
  tokenizer.encode(text, { add_special_tokens: false }).ids;

/** Texts on which the two differ, with both answers. */
function differences(
  files: TokenizerFiles,
  llama: LlamaVocabulary,
  parseSpecial: boolean,
): unknown[] {
  const tokenizer = open(parseSpecial ? files : plainTextTokenizer(files));
  return tokenizerCorpus.flatMap((text) => {
    const ours = encode(tokenizer, text);
    const theirs = llama.tokenize(text, parseSpecial);
    return ours.join() === theirs.join() ? [] : [{ text, ours, theirs }];
  });
}

/** tokenizer.json of Llama 2 as its vocabulary and merges in llama-tokenizer-js say it. */
function llama2Metadata(): GgufMetadata {
  const tokens: readonly string[] = llamaTokenizer.vocabById;
  const merges = [...llamaTokenizer.merges.entries()]
    .sort(([, a], [, b]) => a - b)
    .map(([pair]) => pair);
  const special = (id: number) => ({ id, content: tokens[id], special: true });
  return ggufTokenizerFromJson({
    tokenizerJson: {
      added_tokens: [special(0), special(1), special(2)],
      normalizer: { type: 'Prepend', prepend: '▁' },
      model: {
        type: 'BPE',
        byte_fallback: true,
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        merges,
      },
    },
    tokenizerConfig: {
      bos_token: '<s>',
      eos_token: '</s>',
      unk_token: '<unk>',
      add_bos_token: true,
    },
  });
}

describe('the true Llama 2 vocabulary', () => {
  const metadata = llama2Metadata();
  const files = tokenizerJsonFromGguf(metadata);
  let llama: LlamaVocabulary;
  beforeAll(async () => {
    llama = await llamaVocabularyOf(metadata);
  });
  afterAll(() => llama[Symbol.dispose]());

  test('gives the ids that Llama 2 is known for', () => {
    expect(encode(open(files), 'Hello world!')).toEqual([15_043, 3186, 29_991]);
    expect(open(files).encode('Hello world!').ids).toEqual([1, 15_043, 3186, 29_991]);
  });

  test('agrees with llama.cpp on plain text', () => {
    expect(differences(files, llama, false)).toEqual([]);
  });

  test('agrees with llama.cpp where control tokens are meant', () => {
    expect(differences(files, llama, true)).toEqual([]);
  });

  test('agrees with llama-tokenizer-js on text without look-alikes', () => {
    const tokenizer = open(plainTextTokenizer(files));
    const texts = writtenTexts.filter((text) => !/<\/?s>|<0x|<unk>/.test(text));
    for (const text of texts)
      expect({ text, ids: encode(tokenizer, text) }).toEqual({
        text,
        ids: llamaTokenizer.encode(text, false, true),
      });
  });

  test('never makes a control token of plain text', () => {
    const tokenizer = open(plainTextTokenizer(files));
    const made = tokenizerCorpus.filter((text) => encode(tokenizer, text).some((id) => id < 3));
    expect(made).toEqual([]);
  });
});

interface SmolFixture {
  readonly size: number;
  readonly vocabulary: readonly [number, string, number][];
  readonly merges: readonly string[];
  readonly expected: readonly number[][];
}

async function readSmolFixture(): Promise<SmolFixture> {
  const path = new URL('fixtures/smollm2-tokens.json', import.meta.url);
  return JSON.parse(await readFile(path, 'utf8')) as SmolFixture;
}

/** SmolLM2's vocabulary as far as the corpus touches it, cut by `pre`. */
function smolMetadata(fixture: SmolFixture, pre: string): GgufMetadata {
  const tokens = Array.from({ length: fixture.size }, (_, id) => `[PAD${id}]`);
  const types = tokens.map(() => 5);
  for (const [id, token, type] of fixture.vocabulary) {
    tokens[id] = token;
    types[id] = type;
  }
  return new Map([
    ['tokenizer.ggml.model', gguf.string('gpt2')],
    ['tokenizer.ggml.pre', gguf.string(pre)],
    ['tokenizer.ggml.tokens', gguf.strings(tokens)],
    ['tokenizer.ggml.token_type', gguf.int32s(types)],
    ['tokenizer.ggml.merges', gguf.strings(fixture.merges)],
    ['tokenizer.ggml.bos_token_id', gguf.uint32(1)],
    ['tokenizer.ggml.eos_token_id', gguf.uint32(2)],
  ]);
}

describe("SmolLM2's vocabulary", () => {
  let fixture: SmolFixture;
  let files: TokenizerFiles;
  let llama: LlamaVocabulary;
  beforeAll(async () => {
    fixture = await readSmolFixture();
    const metadata = smolMetadata(fixture, 'smollm');
    files = tokenizerJsonFromGguf(metadata);
    llama = await llamaVocabularyOf(metadata);
  });
  afterAll(() => llama[Symbol.dispose]());

  test('gives the ids that llama.cpp gives on the whole vocabulary', () => {
    const tokenizer = open(plainTextTokenizer(files));
    for (const [i, text] of writtenTexts.entries())
      expect({ text, ids: encode(tokenizer, text) }).toEqual({ text, ids: fixture.expected[i] });
  });

  test('agrees with llama.cpp on any text, plain or with control tokens', () => {
    expect(differences(files, llama, false)).toEqual([]);
    expect(differences(files, llama, true)).toEqual([]);
  });

  test('keeps look-alikes apart from control tokens', () => {
    const text = '<|im_start|>';
    expect(encode(open(files), text)).toEqual([1]);
    expect(encode(open(plainTextTokenizer(files)), text).length).toBeGreaterThan(3);
  });

  test('survives the way to tokenizer.json and back', () => {
    const again = tokenizerJsonFromGguf(ggufTokenizerFromJson(files));
    expect(again).toEqual(files);
  });
});

describe('pre-tokenizers', () => {
  test.each(['default', 'gpt-2', 'llama-bpe', 'qwen2', 'smollm'])(
    '%s cuts text as llama.cpp does',
    async (pre) => {
      const metadata = smolMetadata(await readSmolFixture(), pre);
      using llama = await llamaVocabularyOf(metadata);
      expect(differences(tokenizerJsonFromGguf(metadata), llama, false)).toEqual([]);
    },
  );
});

describe("the rehearsal model's vocabulary", () => {
  const path = fileURLToPath(new URL('../../models/rehearsal/rehearsal.gguf', import.meta.url));

  test('agrees with llama.cpp on any text, plain or with control tokens', async () => {
    await using source = await openFileSource(path);
    const files = tokenizerJsonFromGguf((await readGguf(source)).metadata);
    using llama = openLlamaVocabulary(path);
    expect(differences(files, llama, false)).toEqual([]);
    expect(differences(files, llama, true)).toEqual([]);
  });
});
