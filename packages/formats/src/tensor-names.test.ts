// Names go both ways; rows of q and k come back where they were.
import { describe, expect, test } from 'vitest';
import { expectedTensors } from './expected-tensors.ts';
import { modelConfigFromJson } from './model-config-json.ts';
import { permuteQk, unpermuteQk } from './permute-qk.ts';
import { ggufTensorName, hfTensorName, permutedProjection } from './tensor-names.ts';

const sizes = {
  vocab_size: 64,
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 12,
  num_attention_heads: 4,
};

describe('tensor names', () => {
  test.each(['llama', 'qwen2', 'qwen3'])('of %s go to GGUF and back', (model_type) => {
    const names = [...expectedTensors(modelConfigFromJson({ model_type, ...sizes })).keys()];
    const stored = names.map((name) => ggufTensorName(name) ?? '');
    expect(new Set(stored).size).toBe(names.length);
    expect(stored.map(hfTensorName)).toEqual(names);
  });

  test('are those of the converter', () => {
    expect(ggufTensorName('model.layers.11.mlp.down_proj.weight')).toBe('blk.11.ffn_down.weight');
    expect(ggufTensorName('model.layers.0.self_attn.k_proj.bias')).toBe('blk.0.attn_k.bias');
    expect(ggufTensorName('model.embed_tokens.weight')).toBe('token_embd.weight');
    expect(ggufTensorName('model.layers.0.self_attn.rotary_emb.inv_freq')).toBeUndefined();
    expect(ggufTensorName('constructor.weight')).toBeUndefined();
    expect(hfTensorName('rope_freqs.weight')).toBeUndefined();
  });

  test('tell which rows are permuted', () => {
    expect(permutedProjection('model.layers.3.self_attn.q_proj.weight')).toBe('q');
    expect(permutedProjection('model.layers.3.self_attn.k_proj.bias')).toBe('k');
    expect(permutedProjection('model.layers.3.self_attn.v_proj.weight')).toBeUndefined();
  });
});

describe('the row order of q and k', () => {
  test('is that of the converter', () => {
    // numpy: arange(16).reshape(2, 2, 2, 2).swapaxes(1, 2).reshape(8, 2), for 8 rows, 2 heads
    const rows = Float32Array.from({ length: 16 }, (_, i) => i);
    expect([...permuteQk(rows, 8, 2)]).toEqual([
      0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15,
    ]);
  });

  test('comes back, for matrices and for biases', () => {
    const values = Float32Array.from({ length: 24 * 5 }, (_, i) => i);
    expect(unpermuteQk(permuteQk(values, 24, 3), 24, 3)).toEqual(values);
    expect(unpermuteQk(permuteQk(values.subarray(0, 24), 24, 3), 24, 3)).toEqual(
      values.subarray(0, 24),
    );
  });

  test('does not fit heads of odd size', () => {
    expect(() => permuteQk(new Float32Array(9), 9, 3)).toThrow(RangeError);
  });
});
