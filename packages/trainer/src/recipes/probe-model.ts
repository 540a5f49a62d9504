// A small model that is as fast, layer by layer, as the run's: its first layers with a small vocabulary. Where the
// file has its matrices in blocks, the layers are copied from it, so that they are kept and multiplied as the run
// will; elsewhere the weights are drawn.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type GgufTensorToWrite,
  type GgufValue,
  type ModelConfig,
  type TensorType,
  expectedTensors,
  gguf,
  ggufTensorName,
  isLeveled,
  modelConfigToGguf,
  modelConfigToJson,
  openFileSink,
  openModelWeights,
  writeGguf,
} from '@corral/formats';
import { layerTensors } from '../models/llama.ts';

/**
 * Parameters that the layers have together, at least: 64 MB in float32, more than a cache holds, so that each pass
 * reads them from memory as the run's does.
 */
const probedParameters = 16e6;
const [smallestVocabulary, largestVocabulary] = [1024, 8192];

const sizeOf = (shape: readonly number[]): number => shape.reduce((all, size) => all * size, 1);

export const layerSize = (shape: ModelConfig): number =>
  layerTensors(shape).reduce((sum, tensor) => sum + sizeOf(tensor.shape), 0);

/** The run's shape with few layers, and a head of about a layer's size. */
function smallShape(shape: ModelConfig): ModelConfig {
  const layer = layerSize(shape);
  const vocabulary = Math.round(layer / shape.hidden_size);
  return {
    ...shape,
    num_hidden_layers: Math.min(shape.num_hidden_layers, Math.ceil(probedParameters / layer)),
    vocab_size: Math.min(
      shape.vocab_size,
      Math.max(smallestVocabulary, Math.min(vocabulary, largestVocabulary)),
    ),
    tie_word_embeddings: true,
    rope_scaling: null,
    bos_token_id: null,
    eos_token_id: null,
    pad_token_id: null,
  };
}

/** Words without meaning: a file without a vocabulary is refused. */
const vocabularyOf = ({ vocab_size: size }: ModelConfig): [string, GgufValue][] => [
  ['tokenizer.ggml.model', gguf.string('gpt2')],
  ['tokenizer.ggml.pre', gguf.string('default')],
  ['tokenizer.ggml.tokens', gguf.strings(Array.from({ length: size }, (_, id) => `<${id}>`))],
  ['tokenizer.ggml.token_type', gguf.int32s(Array.from({ length: size }, () => 1))],
  ['tokenizer.ggml.merges', gguf.strings([])],
];

/** Tensors of the small model, as the file has them; the vocabulary is cut. */
async function copiedTensors(path: string, small: ModelConfig): Promise<GgufTensorToWrite[]> {
  await using weights = await openModelWeights(path);
  const tensors: GgufTensorToWrite[] = [];
  for (const [name, shape] of expectedTensors(small)) {
    const type = weights.tensors.get(name)?.storedAs ?? '';
    const whole = weights.tensors.get(name)?.shape.join() === shape.join();
    const bytes = whole && isLeveled(type) ? await weights.readBlocks(name) : null;
    const floats = async (): Promise<Uint8Array> => {
      const [rows = 0] = shape;
      const values = whole ? await weights.readFloats(name) : await weights.readRows(name, 0, rows);
      return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    };
    tensors.push({
      name: ggufTensorName(name) ?? name,
      type: bytes ? (type as TensorType) : 'F32',
      shape,
      data: bytes ?? (await floats()),
    });
  }
  return tensors;
}

/** Writes the small model into a folder. @returns its path */
export async function writeProbeModel(
  folder: string,
  { path, shape, blocks }: { path: string; shape: ModelConfig; blocks: boolean },
): Promise<string> {
  const small = smallShape(shape);
  if (!blocks) {
    const json = JSON.stringify(modelConfigToJson(small, 'float32'));
    await writeFile(join(folder, 'config.json'), json);
    return folder;
  }
  const file = join(folder, 'probe.gguf');
  await using sink = await openFileSink(file);
  const metadata = new Map([...modelConfigToGguf(small), ...vocabularyOf(small)]);
  await writeGguf(sink, { metadata, tensors: await copiedTensors(path, small) });
  await sink.commit();
  return file;
}
