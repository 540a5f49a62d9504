// A model of the family as a GGUF: metadata, tokenizer, and every tensor under llama.cpp's name, in its row
// order and type. Equal to what llama.cpp's own converter writes, tensor by tensor
// (reference/make-conversion-expected.py). Tensors are read and encoded some rows at a time, so a model larger
// than memory can be converted. K-quants are llama.cpp's own business.
import { basename } from 'node:path';
import { openFileSink } from './byte-sink.ts';
import { expectedTensors } from './expected-tensors.ts';
import { FormatError } from './format-error.ts';
import { gguf, type GgufMetadata } from './gguf-metadata.ts';
import { writeGguf, type GgufTensorToWrite, type GgufToWrite } from './gguf-writer.ts';
import { modelConfigToGguf, unservableRope } from './model-config-gguf.ts';
import { permutesQk, type ModelConfig } from './model-config.ts';
import { openModelWeights, type ModelWeights } from './model-weights.ts';
import { permuteQk } from './permute-qk.ts';
import { quantise, type QuantisableType } from './quantise.ts';
import { ropeFactors } from './rope-frequencies.ts';
import { rowBlocks } from './row-blocks.ts';
import { ggufTensorName, permutedProjection } from './tensor-names.ts';
import { tensorTypes } from './tensor-types.ts';
import type { TokenizerFiles } from './tokenizer-from-gguf.ts';
import { ggufTokenizerFromJson } from './tokenizer-to-gguf.ts';

/** What the matrices become, and `general.file_type` (enum llama_ftype of llama.h). */
const ggufForms = {
  F32: 0,
  F16: 1,
  Q8_0: 7,
  BF16: 32,
} as const satisfies Partial<Record<QuantisableType, number>>;
export type GgufForm = keyof typeof ggufForms;

interface TensorToConvert {
  /** Hugging Face's. */
  readonly name: string;
  readonly shape: readonly number[];
  /** Row-major float32 in Hugging Face's row order. */
  readonly read: () => Float32Array | Promise<Float32Array>;
  /** The same of some rows of a matrix, of q and k whole heads; where it is given, no matrix is read whole. */
  readonly readRows?: (from: number, count: number) => Promise<Float32Array>;
}

export interface ModelToConvert {
  readonly name: string;
  readonly config: ModelConfig;
  readonly tokenizer: TokenizerFiles;
  readonly tensors: readonly TensorToConvert[];
  /** Entries beside or instead of those that follow from the rest, such as a licence. */
  readonly metadata?: GgufMetadata | undefined;
}

/** Vectors and norms stay float32; a row that is no whole number of blocks becomes float16. */
function storedType({ shape }: TensorToConvert, form: GgufForm): QuantisableType {
  if (shape.length < 2) return 'F32';
  return (shape.at(-1) ?? 0) % tensorTypes[form].blockSize === 0 ? form : 'F16';
}

function convertTensor(
  tensor: TensorToConvert,
  config: ModelConfig,
  form: GgufForm,
): GgufTensorToWrite {
  const { name, shape, read, readRows } = tensor;
  const stored = ggufTensorName(name);
  if (stored === undefined)
    throw new FormatError(`GGUF has no place for the tensor "${name}"`, {
      code: 'model_unsupported',
    });
  const projection = permutesQk(config.architecture) ? permutedProjection(name) : undefined;
  const type = storedType(tensor, form);
  /** Rows as stored; of q and k they are whole heads. */
  const encode = (values: Float32Array, rows: number): Uint8Array =>
    quantise(
      type,
      projection === undefined ? values : permuteQk(values, rows, rows / config.head_dim),
    );
  if (shape.length !== 2 || readRows === undefined)
    return { name: stored, type, shape, data: async () => encode(await read(), shape[0] ?? 0) };
  return {
    name: stored,
    type,
    shape,
    data: async function* () {
      for (const { from, count } of rowBlocks(shape, { align: config.head_dim }))
        yield encode(await readRows(from, count), count);
    },
  };
}

/** The scaling of Llama 3.1 has no other place in a GGUF than a tensor. */
function ropeTensors(config: ModelConfig): GgufTensorToWrite[] {
  const factors = ropeFactors(config);
  if (factors === null) return [];
  const data = new Uint8Array(factors.buffer);
  return [{ name: 'rope_freqs.weight', type: 'F32', shape: [factors.length], data }];
}

/** FormatError `model_unsupported` for tensors or tokenizers that llama.cpp has no place for. */
export function modelToGguf(model: ModelToConvert, form: GgufForm): GgufToWrite {
  const reason = unservableRope(model.config);
  if (reason !== null) throw new FormatError(reason, { code: 'model_unsupported' });
  const metadata: GgufMetadata = new Map([
    ...modelConfigToGguf(model.config),
    ['general.type', gguf.string('model')],
    ['general.name', gguf.string(model.name)],
    ['general.file_type', gguf.uint32(ggufForms[form])],
    ['general.quantization_version', gguf.uint32(2)],
    ...ggufTokenizerFromJson(model.tokenizer),
    ...(model.metadata ?? []),
  ]);
  const tensors = model.tensors.map((tensor) => convertTensor(tensor, model.config, form));
  return { metadata, tensors: [...ropeTensors(model.config), ...tensors] };
}

export interface ConvertOptions {
  readonly form: GgufForm;
  readonly signal?: AbortSignal | undefined;
  /** Weights converted so far, and in all. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

export interface WeightsToGgufOptions extends ConvertOptions {
  readonly name: string;
  readonly metadata?: GgufMetadata | undefined;
}

/**
 * Writes the GGUF `target` from whatever model is open. Needs memory for a block of rows, in float32 and as
 * stored. The file appears when it is whole.
 */
export async function convertWeightsToGguf(
  weights: Pick<ModelWeights, 'config' | 'tokenizer' | 'readFloats' | 'readRows'>,
  target: string,
  { form, name, metadata, signal, onProgress }: WeightsToGgufOptions,
): Promise<void> {
  const { config, tokenizer } = weights;
  // Files may carry more: buffers that are no weights, a copy of tied embeddings.
  const expected = [...expectedTensors(config)];
  const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
  const total = expected.reduce((sum, [, shape]) => sum + sizeOf(shape), 0);
  let done = 0;
  const counted = async (reading: Promise<Float32Array>): Promise<Float32Array> => {
    signal?.throwIfAborted();
    onProgress?.(done, total);
    const values = await reading;
    done += values.length;
    return values;
  };
  const tensors = expected.map(([tensor, shape]) => ({
    name: tensor,
    shape,
    read: () => counted(weights.readFloats(tensor)),
    readRows: (from: number, count: number) => counted(weights.readRows(tensor, from, count)),
  }));
  await using sink = await openFileSink(target);
  await writeGguf(sink, modelToGguf({ name, config, tokenizer, tensors, metadata }, form));
  await sink.commit();
  onProgress?.(total, total);
}

/** Writes the GGUF `target` from a Hugging Face folder (config.json, tokenizer files, safetensors). */
export async function convertFolderToGguf(
  folder: string,
  target: string,
  options: ConvertOptions,
): Promise<void> {
  await using weights = await openModelWeights(folder);
  await convertWeightsToGguf(weights, target, { ...options, name: basename(folder) });
}
