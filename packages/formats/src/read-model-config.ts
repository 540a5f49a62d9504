// The shape of a model from whatever names it: a Hugging Face folder or the head of a GGUF.
import { join } from 'node:path';
import { withPath } from './format-error.ts';
import { modelConfigFromGguf, type GgufHead } from './model-config-gguf.ts';
import { modelConfigFromJson } from './model-config-json.ts';
import type { ModelConfig } from './model-config.ts';
import { readJsonFile } from './read-json-file.ts';

/** From a folder with config.json, or from a GGUF (its metadata, and its tensors where known). */
export async function readModelConfig(from: string | GgufHead): Promise<ModelConfig> {
  if (typeof from !== 'string') return modelConfigFromGguf(from);
  const path = join(from, 'config.json');
  const json = await readJsonFile(path, 'config');
  return withPath(path, () => modelConfigFromJson(json));
}
