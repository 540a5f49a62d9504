// The two forms of a whole model: a Hugging Face folder with the base's own small files beside the new weights, and
// one GGUF file. Which weights these are is the caller's business.
import { copyFile, mkdir, readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type FolderDtype,
  type GgufForm,
  type GgufValue,
  type ModelWeights,
  convertWeightsToGguf,
  gguf,
  modelConfigToJson,
  openFileSource,
  readGguf,
  writeWeightsFolder,
} from '@corral/formats';
import { writeJsonAtomic } from '../output/atomic-file.ts';
import type { ModelSource } from './export-source.ts';

/** Files that make up a tokenizer or say how to generate, in the forms of all versions of transformers. */
const modelFiles: ReadonlySet<string> = new Set([
  'added_tokens.json',
  'chat_template.jinja',
  'chat_template.json',
  'generation_config.json',
  'merges.txt',
  'special_tokens_map.json',
  'tokenizer.json',
  'tokenizer.model',
  'tokenizer_config.json',
  'vocab.json',
]);
/** Terms under which weights are handed on. */
const termsFile = /^(licen[cs]e|notice|copying|use_policy|acceptable_use)[\w.-]*$/i;

const dtypeNames = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const;

export interface WriteModelOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress: (done: number, total: number) => void;
}

/** Copies licences and notices of the base. */
export async function copyTerms({ base, isFolder }: ModelSource, target: string): Promise<void> {
  if (!isFolder) return;
  for (const name of await readdir(base))
    if (termsFile.test(name) && (await stat(join(base, name))).isFile())
      await copyFile(join(base, name), join(target, name));
}

/** The base's config.json as it stands, but for the dtype. */
async function writeConfig(folder: string, target: string, dtype: FolderDtype): Promise<void> {
  const json = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')) as object;
  // transformers 4 and 5 have two names for it; torch_dtype is read by both.
  const key = 'dtype' in json ? 'dtype' : 'torch_dtype';
  await writeJsonAtomic(join(target, 'config.json'), { ...json, [key]: dtypeNames[dtype] });
}

async function writeSmallFiles(
  { base, isFolder }: ModelSource,
  weights: ModelWeights,
  { target, dtype }: { readonly target: string; readonly dtype: FolderDtype },
): Promise<void> {
  if (isFolder) {
    await writeConfig(base, target, dtype);
    for (const name of await readdir(base))
      if (modelFiles.has(name)) await copyFile(join(base, name), join(target, name));
    return;
  }
  const { config, tokenizer } = weights;
  const json = modelConfigToJson(config, dtypeNames[dtype]);
  await writeJsonAtomic(join(target, 'config.json'), json);
  await writeJsonAtomic(join(target, 'tokenizer.json'), tokenizer.tokenizerJson);
  await writeJsonAtomic(join(target, 'tokenizer_config.json'), tokenizer.tokenizerConfig);
}

/** Writes config.json, tokenizer files, terms and safetensors into `target`, which is made. */
export async function writeModelFolder(
  source: ModelSource,
  weights: ModelWeights,
  {
    target,
    dtype,
    ...options
  }: WriteModelOptions & { readonly target: string; readonly dtype: FolderDtype },
): Promise<void> {
  await mkdir(target, { recursive: true });
  await writeSmallFiles(source, weights, { target, dtype });
  await copyTerms(source, target);
  await writeWeightsFolder(weights, target, { dtype, ...options });
}

/** The tokenizer's entries of a GGUF base as they are; of a folder they follow from its files. */
async function baseMetadata({
  base,
  isFolder,
  license,
}: ModelSource): Promise<Map<string, GgufValue>> {
  const entries = new Map<string, GgufValue>();
  if (!isFolder) {
    await using source = await openFileSource(base);
    for (const [key, value] of (await readGguf(source)).metadata)
      if (key.startsWith('tokenizer.')) entries.set(key, value);
  }
  if (license !== null) entries.set('general.license', gguf.string(license.id));
  if (license?.url) entries.set('general.license.link', gguf.string(license.url));
  return entries;
}

export interface WriteGgufOptions extends WriteModelOptions {
  readonly target: string;
  readonly form: GgufForm;
  readonly name: string;
  /** Where the weights come from, by SHA-256. */
  readonly adapterSha256: string | null;
}

/** Writes one GGUF file with tokenizer, chat template and lineage inside. */
export async function writeModelGguf(
  source: ModelSource,
  weights: ModelWeights,
  { target, adapterSha256, ...options }: WriteGgufOptions,
): Promise<void> {
  const metadata = await baseMetadata(source);
  metadata.set('corral.base_sha256', gguf.string(source.baseSha256));
  if (adapterSha256 !== null) metadata.set('corral.adapter_sha256', gguf.string(adapterSha256));
  await convertWeightsToGguf(weights, target, { ...options, metadata });
}
