// A whole model in the forms others load: a Hugging Face folder (config.json, model.safetensors
// or shards, tokenizer files) and GGUF in F16 and Q8_0 with the tokenizer and chat template inside.
import { join } from 'node:path';
import {
  type ModelConfig,
  type TokenizerFiles,
  modelConfigToJson,
  modelToGguf,
  openFileSink,
  writeGguf,
  writeSafetensorsFolder,
} from '@corral/formats';
import type { Parameter } from '../models/causal-lm.ts';
import { writeJsonAtomic } from './atomic-file.ts';

export interface ModelToSave {
  readonly name: string;
  readonly parameters: readonly Parameter[];
  readonly modelConfig: ModelConfig;
  readonly tokenizer: TokenizerFiles;
}

const ggufFiles = [
  { form: 'F16', file: 'model-f16.gguf' },
  { form: 'Q8_0', file: 'model-q8_0.gguf' },
] as const;

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

async function writeFolder(output: string, model: ModelToSave): Promise<void> {
  const { tokenizerJson, tokenizerConfig } = model.tokenizer;
  await writeJsonAtomic(
    join(output, 'config.json'),
    modelConfigToJson(model.modelConfig, 'float32'),
  );
  await writeJsonAtomic(join(output, 'tokenizer.json'), tokenizerJson);
  await writeJsonAtomic(join(output, 'tokenizer_config.json'), tokenizerConfig);
  await writeSafetensorsFolder(output, {
    metadata: new Map([['format', 'pt']]),
    tensors: model.parameters.map(({ name, shape, data }) => ({
      name,
      dtype: 'F32',
      shape,
      data: bytesOf(data),
    })),
  });
}

async function writeForm(
  output: string,
  { name, parameters, modelConfig: config, tokenizer }: ModelToSave,
  { file, form }: (typeof ggufFiles)[number],
): Promise<void> {
  const tensors = parameters.map(({ name: tensor, shape, data }) => ({
    name: tensor,
    shape,
    read: () => data,
  }));
  await using sink = await openFileSink(join(output, file));
  await writeGguf(sink, modelToGguf({ name, config, tokenizer, tensors }, form));
  await sink.commit();
}

/**
 * Refuses before training what could not be written after it. Throws FormatError `model_unsupported` for a
 * shape or a tokenizer that config.json or GGUF has no place for.
 */
export function checkWritable({
  modelConfig: config,
  tokenizer,
  name,
}: Omit<ModelToSave, 'parameters'>): void {
  modelConfigToJson(config, 'float32');
  modelToGguf({ name, config, tokenizer, tensors: [] }, 'F16');
}

/** Writes the Hugging Face folder and both GGUF files into `output`. */
export async function saveModel(output: string, model: ModelToSave): Promise<void> {
  await writeFolder(output, model);
  for (const file of ggufFiles) await writeForm(output, model, file);
}
