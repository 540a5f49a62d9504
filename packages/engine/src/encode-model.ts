// A model's file in another form: GGUF to GGUF by llama.cpp's quantiser, a Hugging Face folder to GGUF by
// formats, and through a lossless GGUF where the form is one of llama.cpp's mixtures. Needs no loaded model.
import { rm, stat } from 'node:fs/promises';
import { type GgufForm, convertFolderToGguf, openModelWeights } from '@corral/formats';
import type { NativeLibrary, QuantizedType } from './llama-cpp/native-types.ts';
import { asCorralError, type CheckModelFile } from './model-file.ts';

export interface EncodeRequest {
  readonly source: string;
  /** Exists only when it is whole. */
  readonly target: string;
  readonly type: QuantizedType;
  readonly threads: number;
}

export interface EncodeOptions {
  readonly openLibrary: () => Pick<NativeLibrary, 'quantize'>;
  readonly checkFile: CheckModelFile;
  /** Weights converted so far and in all; only folders are converted step by step. */
  readonly onProgress: (done: number, total: number) => void;
}

/** Forms that formats writes itself. */
const directForms: Partial<Record<QuantizedType, GgufForm>> = {
  f32: 'F32',
  f16: 'F16',
  bf16: 'BF16',
  q8_0: 'Q8_0',
};

/** The form that holds a folder's weights without loss. */
async function losslessForm(folder: string): Promise<GgufForm> {
  await using weights = await openModelWeights(folder);
  const stored = new Set([...weights.tensors.values()].map(({ storedAs }) => storedAs));
  for (const form of ['F16', 'BF16'] as const)
    if (stored.size === 1 && stored.has(form)) return form;
  return 'F32';
}

async function encodeFolder(
  { source, target, type, threads }: EncodeRequest,
  { openLibrary, onProgress }: EncodeOptions,
): Promise<void> {
  const direct = directForms[type];
  if (direct !== undefined) {
    await convertFolderToGguf(source, target, { form: direct, onProgress });
    return;
  }
  const between = `${target}.whole`;
  try {
    await convertFolderToGguf(source, between, { form: await losslessForm(source), onProgress });
    await openLibrary().quantize({ source: between, target, type, threads });
  } finally {
    await rm(between, { force: true });
  }
}

/** Throws CorralError model_file_invalid, model_unsupported, file_not_found, engine_failed. */
export async function encodeModel(request: EncodeRequest, options: EncodeOptions): Promise<void> {
  const { source } = request;
  // What cannot be looked at is told by the check of the file.
  const isFolder = await stat(source).then(
    (info) => info.isDirectory(),
    () => false,
  );
  if (!isFolder) {
    await options.checkFile(source, 'model');
    await options.openLibrary().quantize(request);
    return;
  }
  try {
    await encodeFolder(request, options);
  } catch (error) {
    throw asCorralError(source, error);
  }
}
