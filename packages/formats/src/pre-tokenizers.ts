// How byte-pair tokenizers cut text into words before merging: one table from llama.cpp's name for it
// (`tokenizer.ggml.pre`) to the regular expressions applied one after the other, each cutting the pieces of
// the one before. Source: llama-vocab.cpp, llm_tokenizer_bpe, and the flags set in llama_vocab::impl::load.
// `\s` here means White_Space and `\p{N}` all numbers, as in llama.cpp; both differ from JavaScript's \s, \d.

import { isJsonObject as isObject } from './strict-json.ts';

export interface PreTokenizer {
  readonly patterns: readonly string[];
  /** A word that is a token as it stands is not merged again. */
  readonly ignoreMerges: boolean;
  /** Whether a beginning-of-text token is put first when the file does not say. */
  readonly addBos: boolean;
}

const gpt2Words =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const contractions = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
const tail = '| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const llama3Words = `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}${tail}`;
const qwen2Words = `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}${tail}`;

const plain = { ignoreMerges: false, addBos: false };
const llama3: PreTokenizer = { patterns: [llama3Words], ignoreMerges: true, addBos: true };
const digitsApart: PreTokenizer = { patterns: ['\\p{N}', gpt2Words], ...plain };
const gpt2: PreTokenizer = { patterns: [gpt2Words], ...plain };
const qwen2: PreTokenizer = { patterns: [qwen2Words], ...plain };
const fallback: PreTokenizer = {
  patterns: ['[\\p{P}\\$\\+<=>\\^~\\|]+', gpt2Words, '\\p{N}+', '[0-9][0-9][0-9]'],
  ...plain,
};

/** By llama.cpp's name; names of the same pre-tokenizer share one entry. */
export const preTokenizers: ReadonlyMap<string, PreTokenizer> = new Map([
  ['default', fallback],
  ['llama-bpe', llama3],
  ['llama3', llama3],
  ['llama-v3', llama3],
  ['smollm', digitsApart],
  ['starcoder', digitsApart],
  ['gpt-2', gpt2],
  ['qwen2', qwen2],
  ['deepseek-r1-qwen', qwen2],
]);

/** Hugging Face's `pre_tokenizer` objects, reduced to what decides the cut, to llama.cpp's names. */
const knownSignatures: ReadonlyMap<string, string> = new Map([
  ['digits|bytelevel+regex', 'smollm'],
  ['bytelevel+regex', 'gpt-2'],
  [
    `split:(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}${tail}|bytelevel`,
    'llama-bpe',
  ],
  [
    `split:(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}${tail}|bytelevel`,
    'qwen2',
  ],
  ...[...preTokenizers]
    .reverse()
    .map(([name, { patterns }]): [string, string] => [
      `${patterns.map((pattern) => `split:${pattern}`).join('|')}|bytelevel`,
      name,
    ]),
]);

/** One step of a `pre_tokenizer`, or '?' for what has no counterpart. */
function stepSignature(step: unknown): string {
  if (!isObject(step)) return '?';
  if (step['type'] === 'Digits') return step['individual_digits'] === true ? 'digits' : '?';
  if (step['type'] === 'ByteLevel') {
    if (step['add_prefix_space'] === true) return '?';
    return step['use_regex'] === false ? 'bytelevel' : 'bytelevel+regex';
  }
  const pattern = step['pattern'];
  if (step['type'] === 'Split' && isObject(pattern) && typeof pattern['Regex'] === 'string')
    return step['behavior'] === 'Isolated' && step['invert'] !== true
      ? `split:${pattern['Regex']}`
      : '?';
  return '?';
}

/** llama.cpp's name for the `pre_tokenizer` of a tokenizer.json; undefined when it has none. */
export function preTokenizerName(preTokenizer: unknown): string | undefined {
  if (!isObject(preTokenizer)) return undefined;
  const steps =
    preTokenizer['type'] === 'Sequence' ? preTokenizer['pretokenizers'] : [preTokenizer];
  if (!Array.isArray(steps)) return undefined;
  return knownSignatures.get(steps.map(stepSignature).join('|'));
}
