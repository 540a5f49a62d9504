// What llama.cpp does not survive: a GGUF that parses, yet makes the library abort or read where it should
// not. Called before any native code sees a file. Sources: GGML_ASSERTs of llama-model.cpp load_hparams and
// llama-vocab.cpp load; checks that llama.cpp makes cleanly by itself are left to it.
import { FormatError } from './format-error.ts';
import {
  metadataNumber,
  metadataNumbers,
  metadataString,
  metadataStrings,
  type GgufMetadata,
} from './gguf-metadata.ts';
import type { GgufFile } from './gguf-reader.ts';
import { maxBlocks, maxHeads, maxVocabulary, maxWidth } from './limits.ts';

interface NumberRule {
  readonly key: string;
  readonly min: number;
  readonly max: number;
  readonly required: boolean;
}

/** Keys below `<architecture>.`; values are one number or one for each block. */
const rules: readonly NumberRule[] = [
  // GGML_ASSERT(n_layer_all > 0 && n_layer_all <= LLAMA_MAX_LAYERS)
  { key: 'block_count', min: 1, max: maxBlocks, required: true },
  { key: 'embedding_length', min: 1, max: maxWidth, required: true },
  { key: 'context_length', min: 1, max: 2 ** 31 - 1, required: true },
  { key: 'feed_forward_length', min: 1, max: maxWidth, required: false },
  { key: 'vocab_size', min: 1, max: maxVocabulary, required: false },
  { key: 'attention.head_count', min: 1, max: maxHeads, required: false },
  // Zero would be divided by.
  { key: 'attention.head_count_kv', min: 1, max: maxHeads, required: false },
  { key: 'attention.key_length', min: 1, max: 65_536, required: false },
  { key: 'attention.value_length', min: 1, max: 65_536, required: false },
  { key: 'rope.dimension_count', min: 1, max: 65_536, required: false },
  // GGML_ASSERT(n_expert <= LLAMA_MAX_EXPERTS)
  { key: 'expert_count', min: 0, max: 1024, required: false },
  { key: 'expert_used_count', min: 0, max: 1024, required: false },
];

/** llama_rope_scaling_type_from_string; GGML_ASSERT refuses anything else. */
const ropeScalings = ['none', 'linear', 'yarn', 'longrope'];

/** The number under `key`, or every number of the array under it. */
function numbersAt(metadata: GgufMetadata, key: string): readonly number[] {
  const value = metadata.get(key);
  if (value === undefined) return [];
  if (value.type === 'array') return Array.from(metadataNumbers(metadata, key) ?? []);
  return [metadataNumber(metadata, key) ?? Number.NaN];
}

function checkRule(metadata: GgufMetadata, architecture: string, rule: NumberRule): void {
  const key = `${architecture}.${rule.key}`;
  const values = numbersAt(metadata, key);
  if (values.length === 0 && rule.required)
    throw new FormatError(`the metadata key "${key}" is missing`);
  for (const value of values)
    if (!Number.isInteger(value) || value < rule.min || value > rule.max)
      throw new FormatError(`"${key}" is ${value}; it must be ${rule.min} to ${rule.max}`);
}

function checkRelations(metadata: GgufMetadata, architecture: string): void {
  const first = (key: string): number | undefined =>
    numbersAt(metadata, `${architecture}.${key}`)[0];
  const heads = first('attention.head_count');
  const keyValueHeads = first('attention.head_count_kv');
  if (heads !== undefined && keyValueHeads !== undefined && heads % keyValueHeads !== 0)
    throw new FormatError(`${heads} attention heads cannot share ${keyValueHeads} key/value heads`);
  const used = first('expert_used_count') ?? 0;
  const experts = first('expert_count') ?? 0;
  if (used > experts || (experts > 0 && used === 0))
    throw new FormatError(`${used} of ${experts} experts cannot be used`);
  const scaling = metadataString(metadata, `${architecture}.rope.scaling.type`);
  if (scaling !== undefined && !ropeScalings.includes(scaling))
    throw new FormatError(`the rope scaling "${scaling}" is unknown`);
  if (architecture === 'llama') checkLlamaHeads(metadata);
}

/** The graph of `llama` asserts that key, value and rotation have one size. */
function checkLlamaHeads(metadata: GgufMetadata): void {
  const at = (key: string): number | undefined => metadataNumber(metadata, `llama.${key}`);
  const heads = at('attention.head_count') ?? 1;
  const size = at('attention.key_length') ?? Math.floor((at('embedding_length') ?? 0) / heads);
  const value = at('attention.value_length') ?? Math.floor((at('embedding_length') ?? 0) / heads);
  const rotated = at('rope.dimension_count') ?? size;
  if (size !== value || size !== rotated || size % 2 !== 0)
    throw new FormatError(
      `heads of ${size} (keys), ${value} (values) and ${rotated} (rotated) do not fit`,
    );
}

/** Every SentencePiece text falls back to bytes; a missing byte token throws inside llama.cpp. */
function checkByteTokens(tokens: ReadonlySet<string>): void {
  for (let byte = 0; byte < 256; byte++) {
    const name = `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
    if (!tokens.has(name)) throw new FormatError(`the vocabulary lacks the byte token ${name}`);
  }
}

function checkVocabulary(file: GgufFile, architecture: string): void {
  const { metadata, tensors } = file;
  const tokens = metadataStrings(metadata, 'tokenizer.ggml.tokens');
  if (tokens === undefined) return;
  // GGML_ASSERT(id_to_token.size() == token_to_id.size())
  const distinct = new Set(tokens);
  if (distinct.size !== tokens.length) throw new FormatError('the vocabulary has a token twice');
  for (const key of ['tokenizer.ggml.scores', 'tokenizer.ggml.token_type']) {
    const beside = metadataNumbers(metadata, key);
    if (beside !== undefined && beside.length !== tokens.length)
      throw new FormatError(`"${key}" has ${beside.length} items for ${tokens.length} tokens`);
  }
  const rows = tensors.get('token_embd.weight')?.shape[0];
  if (rows !== undefined && rows < tokens.length)
    throw new FormatError(`the embedding has ${rows} rows for ${tokens.length} tokens`);
  const model = metadataString(metadata, 'tokenizer.ggml.model');
  if (model === 'llama' && architecture === 'llama') checkByteTokens(distinct);
}

/**
 * Throws FormatError for a model header that llama.cpp would abort on. Adapters
 * (`general.type` = adapter) and vocabulary-only files have no such keys and are the caller's to tell apart.
 */
export function validateModelHeader(file: GgufFile): void {
  const { metadata } = file;
  const architecture = metadataString(metadata, 'general.architecture');
  if (architecture === undefined || !/^[\w.-]{1,64}$/.test(architecture))
    throw new FormatError('the metadata key "general.architecture" is missing or no name');
  for (const rule of rules) checkRule(metadata, architecture, rule);
  checkRelations(metadata, architecture);
  checkVocabulary(file, architecture);
}
