// Hugging Face's tokenizer files as GGUF metadata: the inverse of tokenizer-from-gguf.ts, for writing a GGUF
// of a model that came with a tokenizer.json. What llama.cpp has no counterpart for is refused by name.
import { FormatError } from './format-error.ts';
import { gguf, type GgufMetadata, type GgufValue } from './gguf-metadata.ts';
import { maxVocabulary } from './limits.ts';
import { preTokenizerName, preTokenizers } from './pre-tokenizers.ts';
import { isJsonObject as isObject, type JsonObject } from './strict-json.ts';
import { specialTokenKeys, tokenTypes } from './token-types.ts';
import type { TokenizerFiles } from './tokenizer-from-gguf.ts';

const unsupported = (reason: string): FormatError =>
  new FormatError(reason, { code: 'model_unsupported' });

interface Vocabulary {
  readonly tokens: readonly string[];
  readonly types: readonly number[];
  readonly ids: ReadonlyMap<string, number>;
}

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

function readAddedTokens(tokenizerJson: JsonObject): AddedToken[] {
  const added = tokenizerJson['added_tokens'] ?? [];
  if (!Array.isArray(added)) throw new FormatError('"added_tokens" of tokenizer.json is no list');
  return added.map((token: unknown) => {
    if (!isObject(token)) throw new FormatError('an added token is no object');
    const { id, content, special } = token;
    if (typeof id !== 'number' || typeof content !== 'string')
      throw new FormatError('an added token lacks id or content');
    return { id, content, special: special === true };
  });
}

function typeOf(token: string, added: AddedToken | undefined, byteFallback: boolean): number {
  if (added !== undefined) {
    if (byteFallback && added.content === '<unk>') return tokenTypes.unknown;
    return added.special ? tokenTypes.control : tokenTypes.userDefined;
  }
  return byteFallback && /^<0x[0-9A-F]{2}>$/.test(token) ? tokenTypes.byte : tokenTypes.normal;
}

function readVocabulary(tokenizerJson: JsonObject, model: JsonObject): Vocabulary {
  const vocab = model['vocab'];
  if (!isObject(vocab)) throw new FormatError('"model.vocab" of tokenizer.json is no object');
  const added = new Map(readAddedTokens(tokenizerJson).map((token) => [token.id, token]));
  const entries = new Map<number, string>();
  for (const [token, id] of Object.entries(vocab)) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= maxVocabulary)
      throw new FormatError(`the token "${token}" has the id ${String(id)}`);
    if (entries.has(id)) throw new FormatError(`the token id ${id} stands twice`);
    entries.set(id, token);
  }
  for (const { id, content } of added.values()) {
    if (!Number.isInteger(id) || id < 0 || id >= maxVocabulary)
      throw new FormatError(`the added token "${content}" has the id ${id}`);
    entries.set(id, content);
  }
  const byteFallback = model['byte_fallback'] === true;
  const tokens: string[] = [];
  const types: number[] = [];
  for (let id = 0; entries.size > 0; id++) {
    const token = entries.get(id);
    entries.delete(id);
    // llama.cpp's converter fills holes like this; they can never be produced.
    tokens.push(token ?? `[PAD${id}]`);
    types.push(
      token === undefined ? tokenTypes.unused : typeOf(token, added.get(id), byteFallback),
    );
  }
  return { tokens, types, ids: new Map(tokens.map((token, id) => [token, id])) };
}

/** Merges as pairs, from both spellings: `"a b"` and `["a", "b"]`. */
function readMerges(model: JsonObject): [string, string][] {
  const merges = model['merges'];
  if (!Array.isArray(merges)) throw new FormatError('"model.merges" of tokenizer.json is no list');
  return merges.map((merge: unknown): [string, string] => {
    const parts: unknown[] =
      typeof merge === 'string' ? merge.split(' ') : Array.isArray(merge) ? merge : [];
    const [left, right] = parts;
    if (parts.length !== 2 || typeof left !== 'string' || typeof right !== 'string')
      throw new FormatError(`the merge ${JSON.stringify(merge)} is no pair`);
    return [left, right];
  });
}

/** A token's score is minus the place of the first merge that makes it: the same order of joining. */
function scoresFromMerges(merges: readonly [string, string][], vocabulary: Vocabulary): number[] {
  const scores = vocabulary.tokens.map(() => 0);
  const seen = new Set<number>();
  for (const [left, right] of merges) {
    const id = vocabulary.ids.get(left + right);
    if (id === undefined || seen.has(id)) continue;
    seen.add(id);
    scores[id] = -seen.size;
  }
  return scores;
}

/** Whether a normalizer or pre-tokenizer puts a space before the text. */
function addsSpacePrefix(tokenizerJson: JsonObject): boolean {
  const text = JSON.stringify([tokenizerJson['normalizer'], tokenizerJson['pre_tokenizer']]);
  const metaspace = text.includes('"Metaspace"') && !text.includes('"prepend_scheme":"never"');
  return text.includes('"Prepend"') || metaspace;
}

function kindEntries(
  { tokenizerJson }: TokenizerFiles,
  model: JsonObject,
  vocabulary: Vocabulary,
): [string, GgufValue][] {
  const merges = readMerges(model);
  if (model['byte_fallback'] === true)
    return [
      ['tokenizer.ggml.model', gguf.string('llama')],
      ['tokenizer.ggml.pre', gguf.string('default')],
      ['tokenizer.ggml.scores', gguf.float32s(scoresFromMerges(merges, vocabulary))],
      ['tokenizer.ggml.add_space_prefix', gguf.bool(addsSpacePrefix(tokenizerJson))],
    ];
  const normalizer = tokenizerJson['normalizer'];
  // Qwen's NFC is dropped by llama.cpp as well; text that is not NFC differs there, as upstream.
  if (
    normalizer !== null &&
    normalizer !== undefined &&
    !JSON.stringify(normalizer).includes('NFC')
  )
    throw unsupported('the normalizer of tokenizer.json has no counterpart in GGUF');
  const pre = preTokenizerName(tokenizerJson['pre_tokenizer']);
  if (pre === undefined)
    throw unsupported('the pre_tokenizer of tokenizer.json is none that llama.cpp knows by name');
  if ((model['ignore_merges'] === true) !== (preTokenizers.get(pre)?.ignoreMerges ?? false))
    throw unsupported(`"ignore_merges" of tokenizer.json is not that of the pre-tokenizer ${pre}`);
  return [
    ['tokenizer.ggml.model', gguf.string('gpt2')],
    ['tokenizer.ggml.pre', gguf.string(pre)],
    ['tokenizer.ggml.merges', gguf.strings(merges.map((pair) => pair.join(' ')))],
  ];
}

/** The token names that a post-processor puts before and after the text. */
function templateEnds(tokenizerJson: JsonObject): { bos: boolean; eos: boolean } | undefined {
  const processor = tokenizerJson['post_processor'];
  if (!isObject(processor)) return undefined;
  const steps: unknown[] = Array.isArray(processor['processors'])
    ? processor['processors']
    : [processor];
  const template = steps.find((step) => isObject(step) && step['type'] === 'TemplateProcessing');
  if (!isObject(template) || !Array.isArray(template['single'])) return undefined;
  const single: unknown[] = template['single'];
  const special = (piece: unknown): boolean => isObject(piece) && 'SpecialToken' in piece;
  return { bos: special(single[0]), eos: single.length > 1 && special(single.at(-1)) };
}

/** `bos_token` and friends: a string, or an object with `content`. */
function specialContent(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return isObject(value) && typeof value['content'] === 'string' ? value['content'] : undefined;
}

function specialEntries(files: TokenizerFiles, vocabulary: Vocabulary): [string, GgufValue][] {
  const { tokenizerJson, tokenizerConfig } = files;
  const entries: [string, GgufValue][] = [];
  for (const { gguf: key, json } of specialTokenKeys) {
    const content = specialContent(tokenizerConfig[json]);
    if (content === undefined) continue;
    const id = vocabulary.ids.get(content);
    if (id === undefined)
      throw new FormatError(`"${json}" is "${content}", which is not in the vocabulary`);
    entries.push([key, gguf.uint32(id)]);
  }
  const ends = templateEnds(tokenizerJson);
  const choose = (key: string, fallback: boolean): boolean =>
    typeof tokenizerConfig[key] === 'boolean' ? tokenizerConfig[key] : fallback;
  const bos = ends?.bos ?? choose('add_bos_token', false);
  const eos = ends?.eos ?? choose('add_eos_token', false);
  entries.push(['tokenizer.ggml.add_bos_token', gguf.bool(bos)]);
  entries.push(['tokenizer.ggml.add_eos_token', gguf.bool(eos)]);
  const template = tokenizerConfig['chat_template'];
  if (typeof template === 'string')
    entries.push(['tokenizer.chat_template', gguf.string(template)]);
  return entries;
}

/**
 * The `tokenizer.*` entries of a GGUF. FormatError for tokenizers that are no byte-pair ones
 * (`model_unsupported`) or whose parts do not fit together.
 */
export function ggufTokenizerFromJson(files: TokenizerFiles): GgufMetadata {
  const model = files.tokenizerJson['model'];
  if (!isObject(model)) throw new FormatError('tokenizer.json has no "model"');
  if (model['type'] !== undefined && model['type'] !== 'BPE')
    throw unsupported(
      `the tokenizer model ${JSON.stringify(model['type'])} is not supported; BPE is`,
    );
  const vocabulary = readVocabulary(files.tokenizerJson, model);
  return new Map<string, GgufValue>([
    ...kindEntries(files, model, vocabulary),
    ['tokenizer.ggml.tokens', gguf.strings(vocabulary.tokens)],
    ['tokenizer.ggml.token_type', gguf.int32s(vocabulary.types)],
    ...specialEntries(files, vocabulary),
  ]);
}
