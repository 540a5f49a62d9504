// The tokenizer in a GGUF header as Hugging Face's two JSON objects, made so that @huggingface/tokenizers
// gives the token ids of llama.cpp. Two kinds: SentencePiece byte-pair (`llama`) and byte-level byte-pair
// (`gpt2`). Knows nothing of that library's code, only of the format it reads.
import { FormatError } from './format-error.ts';
import {
  metadataBoolean,
  metadataNumber,
  metadataNumbers,
  metadataString,
  metadataStrings,
  type GgufMetadata,
} from './gguf-metadata.ts';
import { preTokenizers } from './pre-tokenizers.ts';
import { sentencePieceMerges } from './sentencepiece-merges.ts';
import type { JsonObject } from './strict-json.ts';
import { specialTokenKeys, tokenTypes } from './token-types.ts';

/** What `new Tokenizer(tokenizerJson, tokenizerConfig)` of @huggingface/tokenizers takes. */
export interface TokenizerFiles {
  readonly tokenizerJson: JsonObject;
  /** bos_token, eos_token, pad_token, unk_token, add_bos_token, add_eos_token, chat_template. */
  readonly tokenizerConfig: JsonObject;
}

/** The vocabulary arrays of a GGUF, of equal length. */
interface Vocabulary {
  readonly tokens: readonly string[];
  readonly types: ArrayLike<number>;
  readonly scores: ArrayLike<number>;
}

function readVocabulary(metadata: GgufMetadata): Vocabulary {
  const tokens = metadataStrings(metadata, 'tokenizer.ggml.tokens');
  if (tokens === undefined || tokens.length === 0)
    throw new FormatError('the file has no vocabulary (tokenizer.ggml.tokens)');
  const types = metadataNumbers(metadata, 'tokenizer.ggml.token_type') ?? [];
  const scores = metadataNumbers(metadata, 'tokenizer.ggml.scores') ?? [];
  if (types.length !== 0 && types.length !== tokens.length)
    throw new FormatError(`${types.length} token types stand beside ${tokens.length} tokens`);
  if (scores.length !== 0 && scores.length !== tokens.length)
    throw new FormatError(`${scores.length} scores stand beside ${tokens.length} tokens`);
  if (new Set(tokens).size !== tokens.length) throw new FormatError('a token stands twice');
  return { tokens, types, scores };
}

/** Tokens that are cut out of the text before it is tokenised; `special` ones only in templates. */
function addedTokens({ tokens, types }: Vocabulary): JsonObject[] {
  const added: JsonObject[] = [];
  for (const [id, content] of tokens.entries()) {
    const type = types[id];
    const special = type === tokenTypes.control || type === tokenTypes.unknown;
    if (!special && type !== tokenTypes.userDefined) continue;
    const rules = { single_word: false, lstrip: false, rstrip: false, normalized: false };
    added.push({ id, content, ...rules, special });
  }
  return added;
}

interface Ends {
  readonly bos: { readonly id: number; readonly token: string } | undefined;
  readonly eos: { readonly id: number; readonly token: string } | undefined;
}

/** `<s> A </s>` or what of it the model wants; null when nothing is added. */
function postProcessor({ bos, eos }: Ends): JsonObject | null {
  if (bos === undefined && eos === undefined) return null;
  const piece = (end: { token: string } | undefined, type_id: number): JsonObject[] =>
    end === undefined ? [] : [{ SpecialToken: { id: end.token, type_id } }];
  const sequence = (id: string, type_id: number): JsonObject => ({ Sequence: { id, type_id } });
  const single = [...piece(bos, 0), sequence('A', 0), ...piece(eos, 0)];
  const special: JsonObject = {};
  for (const end of [bos, eos])
    if (end !== undefined)
      special[end.token] = { id: end.token, ids: [end.id], tokens: [end.token] };
  return {
    type: 'TemplateProcessing',
    single,
    pair: [...single, ...piece(bos, 1), sequence('B', 1), ...piece(eos, 1)],
    special_tokens: special,
  };
}

const vocabularyObject = (tokens: readonly string[]): JsonObject =>
  Object.fromEntries(tokens.map((token, id) => [token, id]));

/** The parts of tokenizer.json that depend on the kind of tokenizer. */
interface Kind {
  readonly parts: JsonObject;
  readonly addBos: boolean;
}

function sentencePieceKind(metadata: GgufMetadata, vocabulary: Vocabulary): Kind {
  const { tokens, types, scores } = vocabulary;
  if (scores.length === 0) throw new FormatError('the SentencePiece vocabulary has no scores');
  const prefix = metadataBoolean(metadata, 'tokenizer.ggml.add_space_prefix') ?? true;
  const unknown = tokens.find((_, id) => types[id] === tokenTypes.unknown) ?? null;
  const space = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
  const parts = {
    // llama.cpp puts the space before every piece of text that follows a special token, as Prepend does.
    normalizer: {
      type: 'Sequence',
      normalizers: prefix ? [{ type: 'Prepend', prepend: '▁' }, space] : [space],
    },
    pre_tokenizer: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...(prefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
      ],
    },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: unknown,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      vocab: vocabularyObject(tokens),
      merges: sentencePieceMerges(tokens, scores),
    },
  };
  return { parts, addBos: true };
}

/** `first second` with a space between; a part may itself begin with a space only in broken files. */
function splitMerge(merge: string): [string, string] {
  const at = merge.indexOf(' ', 1);
  if (at < 0) throw new FormatError(`the merge "${merge}" is no pair`);
  return [merge.slice(0, at), merge.slice(at + 1)];
}

function byteLevelKind(metadata: GgufMetadata, vocabulary: Vocabulary): Kind {
  const merges = metadataStrings(metadata, 'tokenizer.ggml.merges');
  if (merges === undefined) throw new FormatError('the byte-pair vocabulary has no merges');
  const name = metadataString(metadata, 'tokenizer.ggml.pre') ?? 'default';
  const pre = preTokenizers.get(name);
  if (pre === undefined)
    throw new FormatError(`the pre-tokenizer "${name}" is not supported`, {
      code: 'model_unsupported',
    });
  const split = (pattern: string): JsonObject => ({
    type: 'Split',
    pattern: { Regex: pattern },
    behavior: 'Isolated',
    invert: false,
  });
  const byteLevel = {
    type: 'ByteLevel',
    add_prefix_space: false,
    trim_offsets: true,
    use_regex: false,
  };
  const parts = {
    normalizer: null,
    pre_tokenizer: { type: 'Sequence', pretokenizers: [...pre.patterns.map(split), byteLevel] },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: pre.ignoreMerges,
      vocab: vocabularyObject(vocabulary.tokens),
      merges: merges.map(splitMerge),
    },
  };
  return { parts, addBos: pre.addBos };
}

function readKind(metadata: GgufMetadata, vocabulary: Vocabulary): Kind {
  const model = metadataString(metadata, 'tokenizer.ggml.model');
  if (model === 'llama') return sentencePieceKind(metadata, vocabulary);
  if (model === 'gpt2') return byteLevelKind(metadata, vocabulary);
  throw new FormatError(`the tokenizer model "${model}" is not supported; llama and gpt2 are`, {
    code: 'model_unsupported',
  });
}

/**
 * Builds tokenizer.json and tokenizer_config.json from `tokenizer.*` metadata.
 *
 * Text of users and tools must be tokenised with `plainTextTokenizer(files)`: this object finds control
 * tokens in text, as templates need it. `encode(text, { add_special_tokens: false })` then equals
 * llama_tokenize with add_special = false.
 */
export function tokenizerJsonFromGguf(metadata: GgufMetadata): TokenizerFiles {
  const vocabulary = readVocabulary(metadata);
  const { parts, addBos } = readKind(metadata, vocabulary);
  const config: JsonObject = {};
  const find = (key: string): { id: number; token: string } | undefined => {
    const id = metadataNumber(metadata, key);
    const token = id === undefined ? undefined : vocabulary.tokens[id];
    return id === undefined || token === undefined ? undefined : { id, token };
  };
  for (const { gguf, json } of specialTokenKeys) config[json] = find(gguf)?.token ?? null;
  const bos = metadataBoolean(metadata, 'tokenizer.ggml.add_bos_token') ?? addBos;
  const eos = metadataBoolean(metadata, 'tokenizer.ggml.add_eos_token') ?? false;
  const template = metadataString(metadata, 'tokenizer.chat_template');
  return {
    tokenizerJson: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: addedTokens(vocabulary),
      ...parts,
      post_processor: postProcessor({
        bos: bos ? find('tokenizer.ggml.bos_token_id') : undefined,
        eos: eos ? find('tokenizer.ggml.eos_token_id') : undefined,
      }),
    },
    tokenizerConfig: {
      ...config,
      add_bos_token: bos,
      add_eos_token: eos,
      clean_up_tokenization_spaces: false,
      tokenizer_class: 'PreTrainedTokenizerFast',
      ...(template === undefined ? {} : { chat_template: template }),
    },
  };
}

/**
 * The same tokenizer for text that may not form control tokens: `<|im_start|>` in it stays characters, as
 * with llama_tokenize and parse_special = false. Tokens that the vocabulary calls user-defined are still
 * found, as llama.cpp does. SentencePiece: the text gets llama.cpp's space before it; a caller whose text
 * goes on after other text removes `Prepend` from the normalizer.
 */
export function plainTextTokenizer({
  tokenizerJson,
  tokenizerConfig,
}: TokenizerFiles): TokenizerFiles {
  const added = tokenizerJson['added_tokens'];
  const kept = (Array.isArray(added) ? (added as JsonObject[]) : []).filter(
    ({ special }) => special !== true,
  );
  return {
    tokenizerJson: { ...tokenizerJson, added_tokens: kept, post_processor: null },
    tokenizerConfig,
  };
}
