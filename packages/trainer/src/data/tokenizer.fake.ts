// Tokenizers small enough to read, in the two kinds that exist: byte-level BPE (as SmolLM2's) and
// SentencePiece (as Llama 2's), each with ChatML's control tokens.
import type { TokenizerFiles } from '@corral/formats';
import { type TextTokenizer, createTokenizer } from './tokenizer.ts';

/** The printable stand-ins of GPT-2 for the 256 bytes. */
function byteCharacters(): string[] {
  const printable = (byte: number) =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCodePoint(printable(byte) ? byte : next++),
  );
}

const controls = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'];

const addedTokens = (start: number) =>
  controls.map((content, index) => ({
    id: start + index,
    content,
    special: true,
    normalized: false,
    lstrip: false,
    rstrip: false,
    single_word: false,
  }));

const config = (template?: string) => ({
  bos_token: '<|im_start|>',
  eos_token: '<|im_end|>',
  add_bos_token: false,
  ...(template === undefined ? {} : { chat_template: template }),
});

/** 256 bytes, five merges, three control tokens: ids 0..255, 256..260, 261..263. */
export function byteLevelFiles(template?: string): TokenizerFiles {
  const merges = ['h e', 'l l', 'he ll', 'hell o', 'Ġ hello'];
  const tokens = [...byteCharacters(), 'he', 'll', 'hell', 'hello', 'Ġhello'];
  return {
    tokenizerJson: {
      version: '1.0',
      added_tokens: addedTokens(tokens.length),
      normalizer: null,
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
      post_processor: null,
      decoder: { type: 'ByteLevel' },
      model: {
        type: 'BPE',
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        merges,
        unk_token: null,
        byte_fallback: false,
      },
    },
    tokenizerConfig: config(template),
  };
}

/** Space prefix, byte fallback; `▁hi` is one token, `hi` another. */
function sentencePieceFiles(template?: string): TokenizerFiles {
  const bytes = Array.from(
    { length: 256 },
    (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
  );
  const letters = Array.from('▁abcdefghijklmnopqrstuvwxyz[]/.');
  const tokens = ['<unk>', ...bytes, ...letters, 'hi', '▁hi'];
  return {
    tokenizerJson: {
      version: '1.0',
      added_tokens: addedTokens(tokens.length),
      normalizer: {
        type: 'Sequence',
        normalizers: [
          { type: 'Prepend', prepend: '▁' },
          { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
        ],
      },
      pre_tokenizer: null,
      post_processor: null,
      decoder: {
        type: 'Sequence',
        decoders: [
          { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
          { type: 'ByteFallback' },
          { type: 'Fuse' },
        ],
      },
      model: {
        type: 'BPE',
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        merges: ['h i', '▁ hi'],
        unk_token: '<unk>',
        byte_fallback: true,
        fuse_unk: true,
      },
    },
    tokenizerConfig: { ...config(template), add_bos_token: true, bos_token: '<|endoftext|>' },
  };
}

export const byteLevelTokenizer = (template?: string): TextTokenizer =>
  createTokenizer(byteLevelFiles(template), 'byte-level');

export const sentencePieceTokenizer = (template?: string): TextTokenizer =>
  createTokenizer(sentencePieceFiles(template), 'sentencepiece');
