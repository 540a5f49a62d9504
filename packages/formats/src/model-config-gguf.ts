// ModelConfig from and to the metadata of a GGUF. Knows the keys of the architectures llama (Mistral is
// stored as llama), qwen2 and qwen3. Source: gguf-py constants.py; llama-model.cpp load_hparams.
import { FormatError } from './format-error.ts';
import {
  gguf,
  metadataNumber,
  metadataString,
  metadataStrings,
  type GgufMetadata,
  type GgufValue,
} from './gguf-metadata.ts';
import type { GgufFile } from './gguf-reader.ts';
import { checkModelConfig, type ModelConfig, type RopeScaling } from './model-config.ts';
import { yarnMagnitude } from './rope-frequencies.ts';

/** What is needed of a GGUF; without tensors, ties and padded vocabularies cannot be seen. */
export type GgufHead = Pick<GgufFile, 'metadata'> & Partial<Pick<GgufFile, 'tensors'>>;

const storedArchitectures = ['llama', 'qwen2', 'qwen3'] as const;
type StoredArchitecture = (typeof storedArchitectures)[number];

function readArchitecture(metadata: GgufMetadata): StoredArchitecture {
  const name = metadataString(metadata, 'general.architecture');
  const found = storedArchitectures.find((known) => known === name);
  if (found === undefined)
    throw new FormatError(
      `the architecture "${name}" is not supported; ${storedArchitectures.join(', ')} are`,
      { code: 'model_unsupported' },
    );
  return found;
}

/** The shortest decimal that is the same float32: 0.00001 instead of 0.000009999999747378752. */
function shortestFloat32(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === Math.fround(value)) return short;
  }
  return value;
}

function readScaling(metadata: GgufMetadata, architecture: string): RopeScaling | null {
  const prefix = `${architecture}.rope.scaling`;
  const factor =
    metadataNumber(metadata, `${prefix}.factor`) ??
    metadataNumber(metadata, `${architecture}.rope.scale_linear`);
  const type = metadataString(metadata, `${prefix}.type`) ?? 'linear';
  if (type === 'none' || factor === undefined || factor === 0 || factor === 1) return null;
  if (type === 'linear') return { type, factor: shortestFloat32(factor) };
  if (type === 'yarn') return readYarn(metadata, architecture, shortestFloat32(factor));
  throw new FormatError(`rope scaling "${type}" is not supported; linear and yarn are`, {
    code: 'model_unsupported',
  });
}

/** llama.cpp computes with these whatever a file says, and rounds the borders between waves. */
const yarnBetas = { beta_fast: 32, beta_slow: 1 } as const;

/** As llama.cpp serves it: `attn_factor` multiplies what follows from `factor`. */
function readYarn(metadata: GgufMetadata, architecture: string, factor: number): RopeScaling {
  const read = (key: string): number | undefined =>
    metadataNumber(metadata, `${architecture}.${key}`);
  const longest = read('context_length') ?? 0;
  return {
    type: 'yarn',
    factor,
    original_max_position_embeddings: read('rope.scaling.original_context_length') ?? longest,
    ...yarnBetas,
    attention_factor: yarnMagnitude(factor) * (read('rope.scaling.attn_factor') ?? 1),
    truncate: true,
  };
}

const isClose = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-6 * Math.abs(b);

/** Null, or why llama.cpp would compute other angles than the model was trained with. */
export function unservableRope({ rope_scaling: scaling }: ModelConfig): string | null {
  if (scaling?.type !== 'yarn') return null;
  for (const key of ['beta_fast', 'beta_slow'] as const)
    if (scaling[key] !== yarnBetas[key])
      return `rope scaling yarn with ${key} ${scaling[key]}: llama.cpp computes with ${yarnBetas[key]}`;
  return scaling.truncate ? null : 'rope scaling yarn without "truncate": llama.cpp truncates';
}

/** As llama.cpp's converter writes it, and `attn_factor`, which is what llama.cpp reads of the attention factor. */
function yarnEntries({
  factor,
  original_max_position_embeddings: context,
  attention_factor: attention,
}: Extract<RopeScaling, { type: 'yarn' }>): [string, GgufValue][] {
  const plain = yarnMagnitude(factor);
  return [
    ['rope.scaling.type', gguf.string('yarn')],
    ['rope.scaling.factor', gguf.float32(factor)],
    ['rope.scaling.original_context_length', gguf.uint32(context)],
    ...(isClose(attention, plain)
      ? []
      : ([
          ['rope.scaling.yarn_attn_factor', gguf.float32(attention)],
          ['rope.scaling.attn_factor', gguf.float32(attention / plain)],
        ] as [string, GgufValue][])),
  ];
}

function readVocabularySize({ metadata, tensors }: GgufHead, architecture: string): number {
  const rows = tensors?.get('token_embd.weight')?.shape[0];
  const size = rows ?? metadataNumber(metadata, `${architecture}.vocab_size`);
  return size ?? metadataStrings(metadata, 'tokenizer.ggml.tokens')?.length ?? 0;
}

/** Reads the head of a GGUF. FormatError `model_unsupported` for other architectures. */
export function modelConfigFromGguf(head: GgufHead): ModelConfig {
  const { metadata, tensors } = head;
  const architecture = readArchitecture(metadata);
  const optional = (key: string): number | undefined =>
    metadataNumber(metadata, `${architecture}.${key}`);
  const required = (key: string): number => {
    const value = optional(key);
    if (value === undefined)
      throw new FormatError(`the metadata key "${architecture}.${key}" is missing`);
    return value;
  };
  const id = (key: string): number | null =>
    metadataNumber(metadata, `tokenizer.ggml.${key}`) ?? null;
  if (tensors?.has('blk.0.attn_output.bias') === true)
    throw new FormatError('biases on the output of the attention layers', {
      code: 'model_unsupported',
    });
  const hidden = required('embedding_length');
  const heads = required('attention.head_count');
  return checkModelConfig({
    architecture,
    vocab_size: readVocabularySize(head, architecture),
    hidden_size: hidden,
    intermediate_size: required('feed_forward_length'),
    num_hidden_layers: required('block_count'),
    num_attention_heads: heads,
    num_key_value_heads: optional('attention.head_count_kv') ?? heads,
    head_dim: optional('attention.key_length') ?? hidden / heads,
    rms_norm_eps: shortestFloat32(required('attention.layer_norm_rms_epsilon')),
    rope_theta: shortestFloat32(optional('rope.freq_base') ?? 10_000),
    rope_scaling: readScaling(metadata, architecture),
    max_position_embeddings: required('context_length'),
    tie_word_embeddings: tensors !== undefined && !tensors.has('output.weight'),
    attention_bias: architecture === 'qwen2' || tensors?.has('blk.0.attn_q.bias') === true,
    qk_norm: architecture === 'qwen3',
    sliding_window: optional('attention.sliding_window') ?? null,
    bos_token_id: id('bos_token_id'),
    eos_token_id: id('eos_token_id'),
    pad_token_id: id('padding_token_id'),
  });
}

/**
 * The `general.architecture` and `<architecture>.*` entries of a GGUF. Scalings `llama3` and `factors` live
 * in the tensor `rope_freqs.weight`, which the caller writes (ropeFactors in rope-frequencies.ts).
 */
export function modelConfigToGguf(config: ModelConfig): GgufMetadata {
  const architecture = config.architecture === 'mistral' ? 'llama' : config.architecture;
  const entries: [string, GgufValue][] = [
    ['vocab_size', gguf.uint32(config.vocab_size)],
    ['context_length', gguf.uint32(config.max_position_embeddings)],
    ['embedding_length', gguf.uint32(config.hidden_size)],
    ['block_count', gguf.uint32(config.num_hidden_layers)],
    ['feed_forward_length', gguf.uint32(config.intermediate_size)],
    ['attention.head_count', gguf.uint32(config.num_attention_heads)],
    ['attention.head_count_kv', gguf.uint32(config.num_key_value_heads)],
    ['attention.key_length', gguf.uint32(config.head_dim)],
    ['attention.value_length', gguf.uint32(config.head_dim)],
    ['attention.layer_norm_rms_epsilon', gguf.float32(config.rms_norm_eps)],
    ['rope.dimension_count', gguf.uint32(config.head_dim)],
    ['rope.freq_base', gguf.float32(config.rope_theta)],
  ];
  // llama.cpp's Llama knows no window and passes it over; readers of this package keep it.
  if (config.sliding_window !== null)
    entries.push(['attention.sliding_window', gguf.uint32(config.sliding_window)]);
  if (config.rope_scaling?.type === 'linear') {
    entries.push(['rope.scaling.type', gguf.string('linear')]);
    entries.push(['rope.scaling.factor', gguf.float32(config.rope_scaling.factor)]);
  }
  if (config.rope_scaling?.type === 'yarn') entries.push(...yarnEntries(config.rope_scaling));
  return new Map([
    ['general.architecture', gguf.string(architecture)],
    ...entries.map(([key, value]): [string, GgufValue] => [`${architecture}.${key}`, value]),
  ]);
}
