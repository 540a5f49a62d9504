// A base model whatever its file: config, tokenizer and weights under Hugging Face's names and row order,
// read tensor by tensor as float32. Checks that the tensors are those the config calls for.
import { stat } from 'node:fs/promises';
import { openFileSource } from './byte-source.ts';
import { detectFormat } from './detect-format.ts';
import { FormatError, withPath } from './format-error.ts';
import { readGguf, type GgufFile } from './gguf-reader.ts';
import { validateModelHeader } from './gguf-validate.ts';
import { modelConfigFromGguf } from './model-config-gguf.ts';
import { permutesQk, type ModelConfig } from './model-config.ts';
import { unpermuteQk, unpermuteQkBytes } from './permute-qk.ts';
import { readModelConfig } from './read-model-config.ts';
import { openSafetensors } from './safetensors-folder.ts';
import { hfTensorName, permutedProjection } from './tensor-names.ts';
import { expectedTensors } from './expected-tensors.ts';
import { tokenizerJsonFromGguf, type TokenizerFiles } from './tokenizer-from-gguf.ts';
import { readTokenizerFolder } from './tokenizer-folder.ts';

export interface ModelTensor {
  /** Hugging Face's name. */
  readonly name: string;
  /** Row-major. */
  readonly shape: readonly number[];
  /** As stored: a ggml type or a safetensors dtype. */
  readonly storedAs: string;
}

export interface ModelWeights extends AsyncDisposable {
  readonly format: 'gguf' | 'safetensors';
  readonly config: ModelConfig;
  /** Gives llama.cpp's token ids, whichever file it came from. */
  readonly tokenizer: TokenizerFiles;
  /** By Hugging Face's name; with tied embeddings there is no `lm_head.weight`. */
  readonly tensors: ReadonlyMap<string, ModelTensor>;
  /** Dequantised, and for GGUF of architecture `llama` q and k in Hugging Face's row order. */
  readFloats(name: string): Promise<Float32Array<ArrayBuffer>>;
  /**
   * `count` rows of a matrix from row `from`, as readFloats has them. Of q and k both are multiples of
   * `head_dim`: their order is one of whole heads.
   */
  readRows(name: string, from: number, count: number): Promise<Float32Array<ArrayBuffer>>;
  /** The bytes of a GGUF's tensor in the same row order; null for a safetensors folder. */
  readBlocks(name: string): Promise<Uint8Array<ArrayBuffer> | null>;
  /** Idempotent. */
  close(): Promise<void>;
}

type Opened = Omit<ModelWeights, 'close' | typeof Symbol.asyncDispose>;

/** Throws when a tensor that the config calls for is absent or has another shape. */
function checkTensors(config: ModelConfig, tensors: ReadonlyMap<string, ModelTensor>): void {
  for (const [name, shape] of expectedTensors(config)) {
    const found = tensors.get(name);
    if (found === undefined) throw new FormatError(`the tensor "${name}" is missing`);
    if (found.shape.join() !== shape.join())
      throw new FormatError(
        `the tensor "${name}" is [${found.shape.join(', ')}]; [${shape.join(', ')}] was expected`,
      );
  }
}

async function withRopeFactors(file: GgufFile, config: ModelConfig): Promise<ModelConfig> {
  if (!file.tensors.has('rope_freqs.weight')) return config;
  const factors = [...(await file.readFloats('rope_freqs.weight'))];
  if (factors.length !== config.head_dim / 2)
    throw new FormatError(`rope_freqs.weight has ${factors.length} values`);
  return { ...config, rope_scaling: { type: 'factors', factors } };
}

async function openGguf(file: GgufFile): Promise<Opened> {
  validateModelHeader(file);
  const config = await withRopeFactors(file, modelConfigFromGguf(file));
  const stored = new Map<string, string>();
  const tensors = new Map<string, ModelTensor>();
  for (const { name, type, shape } of file.tensors.values()) {
    const hfName = hfTensorName(name);
    if (hfName === undefined) continue;
    stored.set(hfName, name);
    tensors.set(hfName, { name: hfName, shape, storedAs: type });
  }
  checkTensors(config, tensors);
  const heads = { q: config.num_attention_heads, k: config.num_key_value_heads };
  const moved = (name: string): 'q' | 'k' | undefined =>
    permutesQk(config.architecture) ? permutedProjection(name) : undefined;
  return {
    format: 'gguf',
    config,
    tokenizer: tokenizerJsonFromGguf(file.metadata),
    tensors,
    readFloats: async (name) => {
      const values = await file.readFloats(stored.get(name) ?? name);
      const projection = moved(name);
      if (projection === undefined) return values;
      return unpermuteQk(values, tensors.get(name)?.shape[0] ?? 0, heads[projection]);
    },
    readRows: async (name, from, count) => {
      const values = await file.readRows(stored.get(name) ?? name, from, count);
      return moved(name) === undefined
        ? values
        : unpermuteQk(values, count, count / config.head_dim);
    },
    readBlocks: async (name) => {
      const bytes = await file.readTensor(stored.get(name) ?? name);
      const projection = moved(name);
      if (projection === undefined) return bytes;
      return unpermuteQkBytes(bytes, tensors.get(name)?.shape[0] ?? 0, heads[projection]);
    },
  };
}

async function openFolder(path: string): Promise<ModelWeights> {
  const config = await readModelConfig(path);
  const tokenizer = await readTokenizerFolder(path);
  const file = await openSafetensors(path);
  try {
    const tensors = new Map<string, ModelTensor>();
    for (const { name, shape, dtype } of file.tensors.values())
      tensors.set(name, { name, shape, storedAs: dtype });
    await withPath(path, () => checkTensors(config, tensors));
    const close = (): Promise<void> => file.close();
    return {
      format: 'safetensors',
      config,
      tokenizer,
      tensors,
      readFloats: (name) => file.readFloats(name),
      readRows: (name, from, count) => file.readRows(name, from, count),
      readBlocks: () => Promise.resolve(null),
      close,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** `path`: a GGUF file, or a folder with config.json, a tokenizer and safetensors. */
export async function openModelWeights(path: string): Promise<ModelWeights> {
  if ((await stat(path)).isDirectory()) return openFolder(path);
  const source = await openFileSource(path);
  try {
    if ((await detectFormat(source)) === 'safetensors')
      throw new FormatError('safetensors without config.json: give the folder that holds both', {
        path,
      });
    const opened = await withPath(path, async () => openGguf(await readGguf(source)));
    const close = (): Promise<void> => source.close();
    return { ...opened, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await source.close();
    throw error;
  }
}
