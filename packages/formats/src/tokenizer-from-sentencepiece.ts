// A SentencePiece model with the tokens that a Hugging Face folder adds to it, as GGUF metadata, from which
// tokenizer-from-gguf.ts makes the tokenizer: the way of llama.cpp's converter (conversion/base.py,
// _create_vocab_sentencepiece).
import { FormatError } from './format-error.ts';
import { gguf, type GgufMetadata, type GgufValue } from './gguf-metadata.ts';
import { maxVocabulary } from './limits.ts';
import { readSentencePieceModel } from './sentencepiece-model.ts';
import { isJsonObject, type JsonObject } from './strict-json.ts';
import { specialTokenKeys, tokenTypes } from './token-types.ts';

/** Added tokens are found before any merge: their score is never asked for. */
const addedScore = -1000;

export interface SentencePieceFolder {
  /** tokenizer.model */
  readonly model: Uint8Array;
  /** tokenizer_config.json, with the tokens of special_tokens_map.json where it has none. */
  readonly tokenizerConfig: JsonObject;
  /** added_tokens.json: id by content. */
  readonly addedTokens: JsonObject;
}

interface Added {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

const contentOf = (value: unknown): string | undefined => {
  const content = isJsonObject(value) ? value['content'] : value;
  return typeof content === 'string' ? content : undefined;
};

/** From both places; `added_tokens_decoder` knows more and comes last. */
function readAdded({ tokenizerConfig, addedTokens }: SentencePieceFolder): Added[] {
  const plain = Object.entries(addedTokens).map(([content, id]) => ({
    id: Number(id),
    content,
    special: false,
  }));
  const decoder = tokenizerConfig['added_tokens_decoder'];
  const named = Object.entries(isJsonObject(decoder) ? decoder : {}).map(([id, token]) => ({
    id: Number(id),
    content: contentOf(token) ?? '',
    special: isJsonObject(token) && token['special'] === true,
  }));
  return [...plain, ...named];
}

/** The `tokenizer.*` entries of a GGUF. FormatError for models and added tokens that cannot be used. */
export function ggufTokenizerFromSentencePiece(folder: SentencePieceFolder): GgufMetadata {
  const model = readSentencePieceModel(folder.model);
  const tokens = [...model.pieces];
  const scores = [...model.scores];
  const types = [...model.types];
  for (const { id, content, special } of readAdded(folder)) {
    if (!Number.isInteger(id) || id < 0 || id >= maxVocabulary || content === '')
      throw new FormatError(`the added token "${content}" has the id ${id}`);
    for (let hole = tokens.length; hole < id; hole++) {
      tokens[hole] = `[PAD${hole}]`;
      scores[hole] = addedScore;
      types[hole] = tokenTypes.unused;
    }
    // What the model has already stays what it is, under the name that the folder gives it.
    const own = id < model.pieces.length;
    tokens[id] = content;
    if (own) continue;
    scores[id] = addedScore;
    types[id] = special ? tokenTypes.control : tokenTypes.userDefined;
  }
  const { tokenizerConfig: config } = folder;
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const entries: [string, GgufValue][] = [];
  for (const { gguf: key, json } of specialTokenKeys) {
    const content = contentOf(config[json]);
    const role = json.slice(0, 3) as keyof typeof model.ids;
    const id = content === undefined ? model.ids[role] : ids.get(content);
    if (id !== undefined) entries.push([key, gguf.uint32(id)]);
  }
  const template = config['chat_template'];
  return new Map<string, GgufValue>([
    ['tokenizer.ggml.model', gguf.string('llama')],
    ['tokenizer.ggml.pre', gguf.string('default')],
    ['tokenizer.ggml.tokens', gguf.strings(tokens)],
    ['tokenizer.ggml.scores', gguf.float32s(scores)],
    ['tokenizer.ggml.token_type', gguf.int32s(types)],
    ['tokenizer.ggml.add_space_prefix', gguf.bool(model.addsSpacePrefix)],
    ...entries,
    ['tokenizer.ggml.add_bos_token', gguf.bool(config['add_bos_token'] !== false)],
    ['tokenizer.ggml.add_eos_token', gguf.bool(config['add_eos_token'] === true)],
    ...(typeof template === 'string'
      ? [['tokenizer.chat_template', gguf.string(template)] as [string, GgufValue]]
      : []),
  ]);
}
