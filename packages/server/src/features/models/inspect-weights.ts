// Looks at a file or folder that claims to be a model, before native code or a table sees it: format by
// content, header checked whole, the facts a model row needs. Refusals carry the codes of contracts.
import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CorralError } from '@corral/contracts';
import {
  FormatError,
  detectFormat,
  metadataNumber,
  metadataString,
  openFileSource,
  openSafetensors,
  readGguf,
  readModelConfig,
  validateModelHeader,
} from '@corral/formats';
import { weightFormat } from './serving-format.ts';
import { hashFile } from './weight-store.ts';

export interface WeightFacts {
  readonly kind: 'gguf' | 'folder';
  readonly architecture: string;
  readonly parameters: number;
  readonly contextLength: number | null;
  /** Dominant tensor type. */
  readonly format: string;
  readonly name: string | null;
  readonly license: string | null;
  readonly bytes: number;
}

/** FormatErrors and missing files become CorralErrors that name the path as the caller gave it. */
async function refusing<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (FormatError.isInstance(error)) {
      throw new CorralError(error.code, { params: { ...error.params, path }, cause: error });
    }
    const code = error instanceof Error && 'code' in error ? error.code : '';
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw new CorralError('file_not_found', { params: { path } });
    }
    if (code === 'EACCES' || code === 'EPERM') {
      const reason = 'the server may not read it';
      throw new CorralError('model_file_invalid', { params: { path, reason }, cause: error });
    }
    throw error;
  }
}

export const inspectGguf = (path: string): Promise<WeightFacts> =>
  refusing(path, async () => {
    await using source = await openFileSource(path);
    const found = await detectFormat(source);
    if (found !== 'gguf') {
      const reason =
        'a single safetensors file has no model shape; give its folder with config.json';
      throw new CorralError('model_unsupported', { params: { path, reason } });
    }
    const file = await readGguf(source);
    const type = metadataString(file.metadata, 'general.type') ?? 'model';
    if (type !== 'model') {
      const reason = `it holds no whole model but one of type "${type}"`;
      throw new CorralError('model_unsupported', { params: { path, reason } });
    }
    validateModelHeader(file);
    const { metadata } = file;
    const architecture = metadataString(metadata, 'general.architecture') ?? 'unknown';
    const format = weightFormat(file);
    let parameters = 0;
    for (const { elementCount } of file.tensors.values()) parameters += elementCount;
    return {
      kind: 'gguf',
      architecture,
      parameters,
      contextLength: metadataNumber(metadata, `${architecture}.context_length`) ?? null,
      format,
      name: metadataString(metadata, 'general.name') ?? null,
      license: metadataString(metadata, 'general.license') ?? null,
      bytes: source.size,
    };
  });

const inspectFolder = (path: string): Promise<WeightFacts> =>
  refusing(path, async () => {
    const config = await readModelConfig(path);
    await using weights = await openSafetensors(path);
    const perType = new Map<string, number>();
    let parameters = 0;
    let bytes = 0;
    for (const { dtype, shape, byteLength } of weights.tensors.values()) {
      const elements = shape.reduce((product, size) => product * size, 1);
      parameters += elements;
      bytes += byteLength;
      perType.set(dtype, (perType.get(dtype) ?? 0) + elements);
    }
    const [most] = [...perType].toSorted((a, b) => b[1] - a[1]);
    return {
      kind: 'folder',
      architecture: config.architecture,
      parameters,
      contextLength: config.max_position_embeddings,
      format: most?.[0] ?? 'F32',
      name: null,
      license: null,
      bytes,
    };
  });

/** A GGUF file or a Hugging Face folder; anything else is refused by what it is. */
export async function inspectWeights(path: string): Promise<WeightFacts> {
  const found = await refusing(path, () => stat(path));
  return found.isDirectory() ? inspectFolder(path) : inspectGguf(path);
}

/** SHA-256 over the sorted list of digests and names of a folder's files, one a line, as `sha256sum` writes it. */
export async function hashFolder(path: string, signal?: AbortSignal): Promise<string> {
  const manifest = createHash('sha256');
  for (const name of (await readdir(path)).toSorted()) {
    // Through links: the folders of Hugging Face's own cache hold nothing else.
    if (!(await stat(join(path, name))).isFile()) continue;
    manifest.update(`${await hashFile(join(path, name), signal)}  ${name}\n`);
  }
  return manifest.digest('hex');
}
