// The same model as a Hugging Face folder and as a GGUF is the same model to whoever reads it.
import { mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openFileSink } from './byte-sink.ts';
import { openFileSource } from './byte-source.ts';
import { expectedTensors } from './expected-tensors.ts';
import { gguf } from './gguf-metadata.ts';
import { writeGguf } from './gguf-writer.ts';
import { modelConfigToGguf } from './model-config-gguf.ts';
import { modelConfigFromJson, modelConfigToJson } from './model-config-json.ts';
import { openModelWeights } from './model-weights.ts';
import { permuteQk } from './permute-qk.ts';
import { writeSafetensors } from './safetensors-writer.ts';
import { ggufTensorName, permutedProjection } from './tensor-names.ts';
import { ggufTokenizerFromJson } from './tokenizer-to-gguf.ts';

const config = modelConfigFromJson({
  model_type: 'llama',
  vocab_size: 8,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 64,
  tie_word_embeddings: true,
});
const tokenizer = {
  tokenizerJson: {
    added_tokens: [],
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false },
    model: { type: 'BPE', vocab: { a: 0, b: 1 }, merges: [] },
  },
  tokenizerConfig: { chat_template: 'x' },
};
const values = (shape: readonly number[], seed: number): Float32Array => {
  const size = shape.reduce((product, dim) => product * dim, 1);
  return Float32Array.from({ length: size }, (_, i) => seed * 1000 + i);
};
const tensors = [...expectedTensors(config)].map(([name, shape], seed) => ({
  name,
  shape,
  values: values(shape, seed),
}));
const asBytes = (floats: Float32Array): Uint8Array => new Uint8Array(floats.buffer);

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'corral-formats-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function writeFolder(): Promise<string> {
  const folder = await temporaryFolder();
  await writeFile(
    join(folder, 'config.json'),
    JSON.stringify(modelConfigToJson(config, 'float32')),
  );
  await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer.tokenizerJson));
  const { tokenizerConfig } = tokenizer;
  await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify(tokenizerConfig));
  await using sink = await openFileSink(join(folder, 'model.safetensors'));
  await writeSafetensors(sink, {
    tensors: tensors.map((tensor) => ({
      name: tensor.name,
      shape: tensor.shape,
      dtype: 'F32',
      data: asBytes(tensor.values),
    })),
  });
  await sink.commit();
  return folder;
}

async function writeGgufFile(skip = ''): Promise<string> {
  const path = join(await temporaryFolder(), 'model.gguf');
  const heads = { q: config.num_attention_heads, k: config.num_key_value_heads };
  await using sink = await openFileSink(path);
  await writeGguf(sink, {
    metadata: new Map([...modelConfigToGguf(config), ...ggufTokenizerFromJson(tokenizer)]),
    tensors: tensors
      .filter(({ name }) => name !== skip)
      .map((tensor) => {
        const projection = permutedProjection(tensor.name);
        const rows = tensor.shape[0] ?? 0;
        const stored =
          projection === undefined
            ? tensor.values
            : permuteQk(tensor.values, rows, heads[projection]);
        return {
          name: ggufTensorName(tensor.name) ?? '',
          shape: tensor.shape,
          type: 'F32',
          data: asBytes(stored),
        };
      }),
  });
  await sink.commit();
  return path;
}

describe('openModelWeights', () => {
  test('gives config, tokenizer and equal numbers from a folder and from a GGUF', async () => {
    await using folder = await openModelWeights(await writeFolder());
    await using file = await openModelWeights(await writeGgufFile());
    expect([folder.format, file.format]).toEqual(['safetensors', 'gguf']);
    expect(folder.config).toEqual(config);
    expect(file.config).toEqual(config);
    expect(folder.tokenizer).toEqual(file.tokenizer);
    expect(new Set(file.tensors.keys())).toEqual(new Set(folder.tensors.keys()));
    for (const tensor of tensors) {
      expect(await folder.readFloats(tensor.name)).toEqual(tensor.values);
      expect(await file.readFloats(tensor.name)).toEqual(tensor.values);
    }
  });

  test('reads the factors of scaled rotary frequencies from a GGUF', async () => {
    const path = join(await temporaryFolder(), 'model.gguf');
    await using sink = await openFileSink(path);
    const plain = { ...config, num_hidden_layers: 1 };
    await writeGguf(sink, {
      metadata: new Map([...modelConfigToGguf(plain), ...ggufTokenizerFromJson(tokenizer)]),
      tensors: [
        {
          name: 'rope_freqs.weight',
          type: 'F32',
          shape: [2],
          data: asBytes(Float32Array.of(1, 8)),
        },
        ...[...expectedTensors(plain)].map(([name, shape]) => ({
          name: ggufTensorName(name) ?? '',
          shape,
          type: 'F32' as const,
          data: asBytes(values(shape, 1)),
        })),
      ],
    });
    await sink.commit();
    await using model = await openModelWeights(path);
    expect(model.config.rope_scaling).toEqual({ type: 'factors', factors: [1, 8] });
  });

  test('names a missing tensor', async () => {
    const path = await writeGgufFile('model.layers.1.mlp.up_proj.weight');
    await expect(openModelWeights(path)).rejects.toMatchObject({
      code: 'model_file_invalid',
      path,
    });
    await expect(openModelWeights(path)).rejects.toThrow(/mlp.up_proj.weight" is missing/);
  });

  test('refuses a block count that would kill llama.cpp before reading a tensor', async () => {
    const path = join(await temporaryFolder(), 'model.gguf');
    await using sink = await openFileSink(path);
    const head = new Map(modelConfigToGguf(config)).set('llama.block_count', gguf.uint32(1000));
    await writeGguf(sink, { metadata: head, tensors: [] });
    await sink.commit();
    await expect(openModelWeights(path)).rejects.toThrow(/block_count" is 1000/);
  });
});

describe('files', () => {
  test('appear under their name only when committed', async () => {
    const folder = await temporaryFolder();
    const sink = await openFileSink(join(folder, 'a'));
    await sink.write(Uint8Array.of(1, 2, 3));
    expect(await readdir(folder)).not.toContain('a');
    await sink.commit();
    await sink.close();
    expect(await readdir(folder)).toEqual(['a']);
    const dropped = await openFileSink(join(folder, 'b'));
    await dropped.write(Uint8Array.of(1));
    await dropped.close();
    await dropped.close();
    expect(await readdir(folder)).toEqual(['a']);
  });

  test('that shrink while they are open are an error, not silence', async () => {
    const path = join(await temporaryFolder(), 'a');
    await writeFile(path, new Uint8Array(100));
    await using source = await openFileSource(path);
    await truncate(path, 50);
    await expect(source.read(0, 100)).rejects.toThrow(/cut while it was read/);
    await expect(source.read(90, 11)).rejects.toThrow(/file ends at 100/);
  });

  test('that are folders or devices are refused', async () => {
    await expect(openFileSource(tmpdir())).rejects.toThrow(/not a regular file/);
  });
});
