// ModelConfig from and to Hugging Face's config.json, in the forms of transformers 4 (rope_theta,
// rope_scaling, torch_dtype) and 5 (rope_parameters, dtype). What the decoder does not do is refused by name.
import { FormatError } from './format-error.ts';
import {
  architectures,
  checkModelConfig,
  type Architecture,
  type ModelConfig,
  type RopeScaling,
} from './model-config.ts';
import { scalingOfFactors, yarnMagnitude } from './rope-frequencies.ts';
import { isJsonObject, type JsonObject } from './strict-json.ts';

const unsupported = (reason: string): FormatError =>
  new FormatError(reason, { code: 'model_unsupported' });

function numberAt(json: JsonObject, key: string, fallback?: number): number {
  const value = json[key] ?? fallback;
  if (typeof value !== 'number')
    throw new FormatError(`"${key}" of config.json is ${JSON.stringify(value)}, not a number`);
  return value;
}

/** A token id; of several the first, none when negative or absent. */
function tokenId(value: unknown): number | null {
  const first: unknown = Array.isArray(value) ? value[0] : value;
  return typeof first === 'number' && Number.isInteger(first) && first >= 0 ? first : null;
}

function readArchitecture(json: JsonObject): Architecture {
  const found = architectures.find((name) => name === json['model_type']);
  if (found === undefined)
    throw unsupported(
      `the architecture ${JSON.stringify(json['model_type'])} is not supported; ${architectures.join(', ')} are`,
    );
  return found;
}

/** Version 5 keeps everything in `rope_parameters` (per layer type for some models), 4 in two keys. */
function ropeObject(json: JsonObject): JsonObject {
  const parameters = json['rope_parameters'];
  if (!isJsonObject(parameters)) {
    const scaling = json['rope_scaling'];
    return { ...(isJsonObject(scaling) ? scaling : {}), rope_theta: json['rope_theta'] };
  }
  const full = parameters['full_attention'];
  const flat = isJsonObject(full) ? full : parameters;
  return { ...flat, rope_theta: flat['rope_theta'] ?? json['rope_theta'] };
}

/** Defaults are those of transformers, modeling_rope_utils.py, _compute_yarn_parameters. */
function readYarn(rope: JsonObject, longest: number): RopeScaling {
  const factor = numberAt(rope, 'factor');
  const { mscale, mscale_all_dim: all } = rope;
  const inferred =
    typeof mscale === 'number' && typeof all === 'number' && mscale !== 0 && all !== 0
      ? yarnMagnitude(factor, mscale) / yarnMagnitude(factor, all)
      : yarnMagnitude(factor);
  return {
    type: 'yarn',
    factor,
    original_max_position_embeddings: numberAt(rope, 'original_max_position_embeddings', longest),
    beta_fast: numberAt(rope, 'beta_fast', 32) || 32,
    beta_slow: numberAt(rope, 'beta_slow', 1) || 1,
    attention_factor: numberAt(rope, 'attention_factor', inferred),
    truncate: rope['truncate'] !== false,
  };
}

function readScaling(rope: JsonObject, longest: number): RopeScaling | null {
  const type = rope['rope_type'] ?? rope['type'] ?? 'default';
  if (type === 'default') return null;
  if (type === 'linear') return { type, factor: numberAt(rope, 'factor') };
  if (type === 'llama3')
    return {
      type,
      factor: numberAt(rope, 'factor'),
      low_freq_factor: numberAt(rope, 'low_freq_factor'),
      high_freq_factor: numberAt(rope, 'high_freq_factor'),
      original_max_position_embeddings: numberAt(rope, 'original_max_position_embeddings', longest),
    };
  if (type === 'yarn') return readYarn(rope, longest);
  throw unsupported(
    `rope scaling ${JSON.stringify(type)} is not supported; linear, llama3 and yarn are`,
  );
}

/** What transformers takes when a config.json leaves a key out; other keys have one default for all. */
const defaults: Record<Architecture, { readonly head_dim?: number; readonly window?: number }> = {
  llama: {},
  mistral: { window: 4096 },
  qwen2: {},
  qwen3: { head_dim: 128 },
};

/** Which of the layers see only a window; all or none, as the decoder has one mask. */
function slidingLayers(json: JsonObject, layers: number): number {
  const types = json['layer_types'];
  if (Array.isArray(types)) return types.filter((type) => type === 'sliding_attention').length;
  const first = json['max_window_layers'];
  return typeof first === 'number' ? Math.max(0, layers - first) : layers;
}

function readSlidingWindow(json: JsonObject, architecture: Architecture): number | null {
  const isQwen = architecture === 'qwen2' || architecture === 'qwen3';
  // Qwen's files state a window that they do not use.
  if (isQwen && json['use_sliding_window'] !== true) return null;
  const value = 'sliding_window' in json ? json['sliding_window'] : defaults[architecture].window;
  if (typeof value !== 'number' || value <= 0) return null;
  const layers = numberAt(json, 'num_hidden_layers');
  const sliding = isQwen || 'layer_types' in json ? slidingLayers(json, layers) : layers;
  if (sliding !== 0 && sliding !== layers)
    throw unsupported(
      `a sliding window in ${sliding} of ${layers} layers; all or none can have one`,
    );
  return sliding === 0 ? null : value;
}

/** Parts that some models of these names have and the decoder has not. */
function refuseUnknownParts(json: JsonObject, architecture: Architecture): void {
  if (json['mlp_bias'] === true) throw unsupported('biases in the feed-forward layers');
  // Qwen2 has biases on q, k and v by its nature; the flag adds one on the output, too.
  if (json['attention_bias'] === true && architecture !== 'qwen2')
    throw unsupported('biases in the attention layers ("attention_bias")');
  const quantised = json['quantization_config'];
  if (isJsonObject(quantised))
    throw unsupported(
      `weights quantised with ${JSON.stringify(quantised['quant_method'] ?? 'an unknown method')}; use the original weights or a GGUF`,
    );
  const partial = json['partial_rotary_factor'];
  if (partial !== undefined && partial !== null && partial !== 1)
    throw unsupported('rotary angles on a part of each head (partial_rotary_factor)');
}

/** Reads config.json. FormatError `model_unsupported` for what the Llama family's decoder does not do. */
export function modelConfigFromJson(value: unknown): ModelConfig {
  if (!isJsonObject(value)) throw new FormatError('config.json is no object');
  const json = value;
  const architecture = readArchitecture(json);
  const activation = json['hidden_act'] ?? 'silu';
  if (activation !== 'silu' && activation !== 'swish')
    throw unsupported(`the activation ${JSON.stringify(activation)} is not supported; silu is`);
  refuseUnknownParts(json, architecture);
  const hidden = numberAt(json, 'hidden_size');
  const heads = numberAt(json, 'num_attention_heads');
  const longest = numberAt(json, 'max_position_embeddings', 2048);
  const rope = ropeObject(json);
  return checkModelConfig({
    architecture,
    vocab_size: numberAt(json, 'vocab_size'),
    hidden_size: hidden,
    intermediate_size: numberAt(json, 'intermediate_size'),
    num_hidden_layers: numberAt(json, 'num_hidden_layers'),
    num_attention_heads: heads,
    num_key_value_heads: numberAt(json, 'num_key_value_heads', heads),
    head_dim: numberAt(json, 'head_dim', defaults[architecture].head_dim ?? hidden / heads),
    rms_norm_eps: numberAt(json, 'rms_norm_eps', 1e-6),
    rope_theta: numberAt(rope, 'rope_theta', 10_000),
    rope_scaling: readScaling(rope, longest),
    max_position_embeddings: longest,
    tie_word_embeddings: json['tie_word_embeddings'] === true,
    attention_bias: architecture === 'qwen2',
    qk_norm: architecture === 'qwen3',
    sliding_window: readSlidingWindow(json, architecture),
    bos_token_id: tokenId(json['bos_token_id']),
    eos_token_id: tokenId(json['eos_token_id']),
    pad_token_id: tokenId(json['pad_token_id']),
  });
}

const classNames: Record<Architecture, string> = {
  llama: 'LlamaForCausalLM',
  mistral: 'MistralForCausalLM',
  qwen2: 'Qwen2ForCausalLM',
  qwen3: 'Qwen3ForCausalLM',
};

function scalingToJson(config: ModelConfig): JsonObject | null {
  const stored = config.rope_scaling;
  if (stored === null) return null;
  const scaling = stored.type === 'factors' ? scalingOfFactors(config, stored.factors) : stored;
  if (scaling === null)
    throw unsupported(
      'the rope factors of this GGUF are none that were published with a model, and config.json has no place for others; use its Hugging Face folder',
    );
  const { type, ...rest } = scaling;
  return { rope_type: type, ...rest };
}

/** The config.json that transformers 4 and 5 read. `dtype` is that of the stored weights. */
export function modelConfigToJson(
  config: ModelConfig,
  dtype: 'float32' | 'float16' | 'bfloat16',
): JsonObject {
  const { architecture, qk_norm: _norm, rope_scaling: _scaling, ...sizes } = config;
  // A GGUF stores Mistral as llama, whose class in transformers knows no window.
  const family =
    architecture === 'llama' && sizes.sliding_window !== null ? 'mistral' : architecture;
  return {
    architectures: [classNames[family]],
    model_type: family,
    hidden_act: 'silu',
    ...sizes,
    // Without these, Qwen's classes take no window, or one from the 28th layer on.
    ...(architecture.startsWith('qwen') && sizes.sliding_window !== null
      ? { use_sliding_window: true, max_window_layers: 0 }
      : {}),
    rope_scaling: scalingToJson(config),
    torch_dtype: dtype,
  };
}
