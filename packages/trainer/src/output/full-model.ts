// A whole model in the forms others load: a Hugging Face folder (config.json, model.safetensors,
// tokenizer files) and GGUF in F16 and Q8_0 with the tokenizer and chat template inside.
import { join } from 'node:path';
import {
  type GgufMetadata,
  type GgufTensorToWrite,
  type ModelConfig,
  type TokenizerFiles,
  ggufTensorName,
  ggufTokenizerFromJson,
  gguf,
  modelConfigToGguf,
  modelConfigToJson,
  openFileSink,
  permuteQk,
  permutesQk,
  quantise,
  writeGguf,
  writeSafetensors,
} from '@corral/formats';
import type { Parameter } from '../models/causal-lm.ts';
import { writeJsonAtomic } from './atomic-file.ts';

export interface ModelToSave {
  readonly name: string;
  readonly parameters: readonly Parameter[];
  readonly modelConfig: ModelConfig;
  readonly tokenizer: TokenizerFiles;
}

/** `general.file_type` of llama.h: LLAMA_FTYPE_MOSTLY_F16 and LLAMA_FTYPE_MOSTLY_Q8_0. */
const ggufForms = {
  F16: { file: 'model-f16.gguf', fileType: 1 },
  Q8_0: { file: 'model-q8_0.gguf', fileType: 7 },
} as const;

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
  await using sink = await openFileSink(join(output, 'model.safetensors'));
  await writeSafetensors(sink, {
    metadata: new Map([['format', 'pt']]),
    tensors: model.parameters.map(({ name, shape, data }) => ({
      name,
      dtype: 'F32',
      shape,
      data: bytesOf(data),
    })),
  });
  await sink.commit();
}

function toGguf(
  { name, shape, data }: Parameter,
  config: ModelConfig,
  form: keyof typeof ggufForms,
): GgufTensorToWrite {
  const ggufName = ggufTensorName(name);
  if (ggufName === undefined) throw new TypeError(`GGUF has no tensor for "${name}"`);
  const projection = /\.self_attn\.([qk])_proj\./.exec(name)?.[1];
  const heads = projection === 'q' ? config.num_attention_heads : config.num_key_value_heads;
  const permuted = projection !== undefined && permutesQk(config.architecture);
  const width = shape.at(-1) ?? 0;
  // Norms and biases stay float32, as llama.cpp's converter leaves them; a row of Q8_0 is whole blocks.
  const type = shape.length < 2 ? 'F32' : form === 'Q8_0' && width % 32 !== 0 ? 'F16' : form;
  return {
    name: ggufName,
    type,
    shape,
    data: () => quantise(type, permuted ? permuteQk(data, shape[0] ?? 0, heads) : data),
  };
}

async function writeForm(
  output: string,
  model: ModelToSave,
  form: keyof typeof ggufForms,
): Promise<void> {
  const { file, fileType } = ggufForms[form];
  const metadata: GgufMetadata = new Map([
    ...modelConfigToGguf(model.modelConfig),
    ['general.type', gguf.string('model')],
    ['general.name', gguf.string(model.name)],
    ['general.file_type', gguf.uint32(fileType)],
    ['general.quantization_version', gguf.uint32(2)],
    ...ggufTokenizerFromJson(model.tokenizer),
  ]);
  await using sink = await openFileSink(join(output, file));
  await writeGguf(sink, {
    metadata,
    tensors: model.parameters.map((parameter) => toGguf(parameter, model.modelConfig, form)),
  });
  await sink.commit();
}

/** Writes the Hugging Face folder and both GGUF files into `output`. */
export async function saveModel(output: string, model: ModelToSave): Promise<void> {
  await writeFolder(output, model);
  await writeForm(output, model, 'F16');
  await writeForm(output, model, 'Q8_0');
}
