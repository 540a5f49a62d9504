// One shape from every spelling of it; shapes that cannot be are refused.
import { describe, expect, test } from 'vitest';
import { expectedTensors } from './expected-tensors.ts';
import { gguf, metadataNumber } from './gguf-metadata.ts';
import { modelConfigFromGguf, modelConfigToGguf, unservableRope } from './model-config-gguf.ts';
import { modelConfigFromJson, modelConfigToJson } from './model-config-json.ts';
import type { ModelConfig } from './model-config.ts';
import { ropeFactors, ropeFrequencies } from './rope-frequencies.ts';

/** meta-llama/Llama-3.2-1B's config.json, as transformers 4 writes it. */
const version4 = {
  model_type: 'llama',
  hidden_act: 'silu',
  attention_bias: false,
  bos_token_id: 128_000,
  eos_token_id: [128_001, 128_008],
  head_dim: 64,
  hidden_size: 2048,
  intermediate_size: 8192,
  max_position_embeddings: 131_072,
  num_attention_heads: 32,
  num_hidden_layers: 16,
  num_key_value_heads: 8,
  rms_norm_eps: 1e-5,
  rope_theta: 500_000,
  rope_scaling: {
    factor: 32,
    high_freq_factor: 4,
    low_freq_factor: 1,
    original_max_position_embeddings: 8192,
    rope_type: 'llama3',
  },
  tie_word_embeddings: true,
  torch_dtype: 'bfloat16',
  vocab_size: 128_256,
};
const { rope_theta: theta, rope_scaling: scaling, torch_dtype: dtype, ...rest } = version4;
/** The same, as transformers 5 writes it. */
const version5 = { ...rest, dtype, rope_parameters: { rope_theta: theta, ...scaling } };

const small: ModelConfig = {
  architecture: 'llama',
  vocab_size: 320,
  hidden_size: 64,
  intermediate_size: 160,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  rope_scaling: null,
  max_position_embeddings: 128,
  tie_word_embeddings: false,
  attention_bias: false,
  qk_norm: false,
  sliding_window: null,
  bos_token_id: null,
  eos_token_id: null,
  pad_token_id: null,
};

describe('config.json', () => {
  test('means the same in the forms of transformers 4 and 5', () => {
    const config = modelConfigFromJson(version4);
    expect(modelConfigFromJson(version5)).toEqual(config);
    expect(config).toMatchObject({
      architecture: 'llama',
      head_dim: 64,
      eos_token_id: 128_001,
      rope_theta: 500_000,
      rope_scaling: { type: 'llama3', factor: 32, original_max_position_embeddings: 8192 },
    });
  });

  test('has defaults for what old files leave out', () => {
    const { head_dim: _, num_key_value_heads: __, rope_theta: ___, ...old } = version4;
    expect(modelConfigFromJson({ ...old, rope_scaling: null })).toMatchObject({
      head_dim: 64,
      num_key_value_heads: 32,
      rope_theta: 10_000,
      rope_scaling: null,
    });
  });

  test('says what Qwen adds', () => {
    const window = { sliding_window: 4096, use_sliding_window: false };
    const qwen2 = modelConfigFromJson({ ...version5, model_type: 'qwen2', ...window });
    expect(qwen2).toMatchObject({ attention_bias: true, qk_norm: false, sliding_window: null });
    const qwen3 = modelConfigFromJson({ ...version5, model_type: 'qwen3' });
    expect(qwen3).toMatchObject({ attention_bias: false, qk_norm: true });
  });

  test.each([
    ['llama', {}, null],
    ['mistral', { sliding_window: 4096 }, 4096],
    ['mistral', { sliding_window: null }, null],
    // What transformers takes when the key is not there.
    ['mistral', {}, 4096],
    ['qwen2', { sliding_window: 4096 }, null],
    ['qwen2', { sliding_window: 4096, use_sliding_window: true, max_window_layers: 16 }, null],
    ['qwen2', { sliding_window: 4096, use_sliding_window: true, max_window_layers: 0 }, 4096],
    [
      'qwen3',
      {
        sliding_window: 64,
        use_sliding_window: true,
        layer_types: Array(16).fill('full_attention'),
      },
      null,
    ],
    ['mistral', { sliding_window: 64, layer_types: Array(16).fill('sliding_attention') }, 64],
  ])('of %s with %j has the window that transformers has', (model_type, change, window) => {
    const config = modelConfigFromJson({ ...version5, model_type, ...change });
    expect(config.sliding_window).toBe(window);
    expect(modelConfigFromJson(modelConfigToJson(config, 'float32'))).toEqual(config);
  });

  test.each([
    [{ attention_bias: true }, 'model_unsupported', /"attention_bias"/],
    [{ quantization_config: { quant_method: 'gptq' } }, 'model_unsupported', /"gptq"/],
    [{ partial_rotary_factor: 0.5 }, 'model_unsupported', /partial_rotary_factor/],
    [{ rope_scaling: { type: 'dynamic', factor: 2 } }, 'model_unsupported', /"dynamic"/],
    [
      { model_type: 'qwen2', sliding_window: 64, use_sliding_window: true, max_window_layers: 8 },
      'model_unsupported',
      /8 of 16 layers/,
    ],
    [{ model_type: 'gemma3' }, 'model_unsupported', /"gemma3" is not supported/],
    [{ hidden_act: 'gelu' }, 'model_unsupported', /"gelu"/],
    [{ rope_scaling: { rope_type: 'longrope' } }, 'model_unsupported', /"longrope"/],
    [{ mlp_bias: true }, 'model_unsupported', /biases/],
    [{ num_hidden_layers: 1000 }, 'model_file_invalid', /num_hidden_layers is 1000/],
    [{ num_key_value_heads: 5 }, 'model_file_invalid', /cannot share 5/],
    [{ num_attention_heads: 0 }, 'model_file_invalid', /num_attention_heads is 0/],
    [{ hidden_size: '2048' }, 'model_file_invalid', /"2048", not a number/],
    [{ head_dim: 63 }, 'model_file_invalid', /must be even/],
  ])('with %j is refused', (change, code, says) => {
    const reading = (): ModelConfig => modelConfigFromJson({ ...version4, ...change });
    expect(reading).toThrow(says);
    expect(reading).toThrow(expect.objectContaining({ code }));
  });

  test('survives being written', () => {
    const config = modelConfigFromJson(version4);
    expect(modelConfigFromJson(modelConfigToJson(config, 'float32'))).toEqual(config);
  });
});

describe('GGUF metadata', () => {
  test('gives back the config that was written, as short decimals', () => {
    const metadata = modelConfigToGguf({ ...small, rope_theta: 1234.5, rms_norm_eps: 1e-6 });
    const tensors = new Map([...expectedTensors(small).keys()].map((name) => [name, undefined]));
    expect(tensors.size).toBe(21);
    expect(modelConfigFromGguf({ metadata })).toEqual({
      ...small,
      rope_theta: 1234.5,
      rms_norm_eps: 1e-6,
    });
  });

  test('keeps a linear scaling and stores Mistral as llama', () => {
    const scaled = {
      ...small,
      architecture: 'mistral',
      rope_scaling: { type: 'linear', factor: 4 },
    } as const;
    const config = modelConfigFromGguf({ metadata: modelConfigToGguf(scaled) });
    expect(config).toEqual({ ...scaled, architecture: 'llama' });
  });

  test('keeps yarn, and an attention factor of its own as llama.cpp reads it', () => {
    const rope_scaling = {
      type: 'yarn',
      factor: 4,
      original_max_position_embeddings: 64,
      beta_fast: 32,
      beta_slow: 1,
      attention_factor: 1.25,
      truncate: true,
    } as const;
    const metadata = modelConfigToGguf({ ...small, rope_scaling });
    expect(modelConfigFromGguf({ metadata }).rope_scaling).toEqual({
      ...rope_scaling,
      attention_factor: expect.closeTo(1.25, 6),
    });
    expect(metadataNumber(metadata, 'llama.rope.scaling.attn_factor')).toBeCloseTo(
      1.25 / (0.1 * Math.log(4) + 1),
      6,
    );
  });

  test.each([
    ['general.architecture', gguf.string('mamba'), /"mamba" is not supported/],
    ['llama.rope.scaling.type', gguf.string('longrope'), /"longrope"/],
    ['llama.block_count', gguf.uint32(513), /num_hidden_layers is 513/],
  ])('with %s = %j is refused', (key, value, says) => {
    const linear = { ...small, rope_scaling: { type: 'linear', factor: 4 } } as const;
    const metadata = new Map([...modelConfigToGguf(linear), [key, value]]);
    expect(() => modelConfigFromGguf({ metadata })).toThrow(says);
  });
});

describe('yarn in config.json', () => {
  const yarn = { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 64 };

  test('has the defaults of transformers', () => {
    const read = (more: object) =>
      modelConfigFromJson({ ...version4, rope_scaling: { ...yarn, ...more } }).rope_scaling;
    expect(read({})).toEqual({
      type: 'yarn',
      factor: 4,
      original_max_position_embeddings: 64,
      beta_fast: 32,
      beta_slow: 1,
      attention_factor: 0.1 * Math.log(4) + 1,
      truncate: true,
    });
    expect(read({ mscale: 1, mscale_all_dim: 1 })).toMatchObject({ attention_factor: 1 });
    const config = modelConfigFromJson({ ...version4, rope_scaling: yarn });
    expect(modelConfigFromJson(modelConfigToJson(config, 'float32'))).toEqual(config);
  });

  test.each([{ beta_fast: 16 }, { beta_slow: 2 }, { truncate: false }])(
    'with %j is trained, and not converted: llama.cpp would compute other angles',
    (more) => {
      const config = modelConfigFromJson({ ...version4, rope_scaling: { ...yarn, ...more } });
      expect(unservableRope(config)).toContain('llama.cpp');
    },
  );
});

describe('rotary frequencies', () => {
  test('fall from 1 by powers of theta', () => {
    const frequencies = ropeFrequencies({ head_dim: 4, rope_theta: 100, rope_scaling: null });
    expect(frequencies[0]).toBe(1);
    expect(frequencies[1]).toBeCloseTo(0.1, 14);
  });

  test('of Llama 3.2 agree with transformers', () => {
    // transformers 5.23: LlamaRotaryEmbedding(config).inv_freq[[0, 10, 15, 20, 31]]
    const frequencies = ropeFrequencies(modelConfigFromJson(version4));
    const expected = [1, 0.016_560_440_88, 0.001_290_548_011, 8.570_255_89e-6, 9.418_306_49e-8];
    for (const [i, at] of [0, 10, 15, 20, 31].entries())
      expect((frequencies[at] ?? 0) / (expected[i] ?? 1)).toBeCloseTo(1, 6);
  });

  test('of Llama 3.2 are the plain ones divided by the factors that GGUF stores', () => {
    const config = modelConfigFromJson(version4);
    const factors = ropeFactors(config) ?? new Float32Array(0);
    expect([factors.length, factors[0], factors[31]]).toEqual([32, 1, 32]);
    const stored = { ...config, rope_scaling: { type: 'factors', factors: [...factors] } } as const;
    const [direct, through] = [ropeFrequencies(config), ropeFrequencies(stored)];
    for (const [i, frequency] of direct.entries())
      expect((through[i] ?? 0) / frequency).toBeCloseTo(1, 6);
    expect(ropeFactors({ ...config, rope_scaling: null })).toBeNull();
  });

  test('of a GGUF of Llama 3.2 become the published scaling in config.json again', () => {
    const config = modelConfigFromJson(version4);
    const factors = [...(ropeFactors(config) ?? [])];
    const stored = { ...config, rope_scaling: { type: 'factors', factors } } as const;
    expect(modelConfigToJson(stored, 'float32')['rope_scaling']).toEqual(
      modelConfigToJson(config, 'float32')['rope_scaling'],
    );
    const other = { ...config, rope_scaling: { type: 'factors', factors: [1, 2] } } as const;
    expect(() => modelConfigToJson(other, 'float32')).toThrow(/Hugging Face folder/);
  });
});
