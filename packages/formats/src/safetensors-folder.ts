// One model over one safetensors file or over shards with an index. Knows file names of Hugging Face's
// folders; what is inside a file is safetensors-reader.ts's business.
import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { openFileSource, type ByteSource } from './byte-source.ts';
import { FormatError, withPath } from './format-error.ts';
import { maxShards } from './limits.ts';
import { readJsonFile } from './read-json-file.ts';
import {
  readSafetensors,
  type SafetensorsFile,
  type SafetensorsTensorInfo,
} from './safetensors-reader.ts';
import { isJsonObject } from './strict-json.ts';

export interface SafetensorsFolder extends SafetensorsFile, AsyncDisposable {
  /** Closes all shards; idempotent. */
  close(): Promise<void>;
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** Tensor name → shard file name. */
async function readIndex(path: string): Promise<ReadonlyMap<string, string>> {
  const index = await readJsonFile(path, 'tokenizer');
  return withPath(path, () => {
    const map = isJsonObject(index) ? index['weight_map'] : undefined;
    if (!isJsonObject(map)) throw new FormatError('the index has no "weight_map"');
    const shards = new Map<string, string>();
    for (const [name, file] of Object.entries(map)) {
      // A shard is a file beside its index, never a path that leads elsewhere.
      if (
        typeof file !== 'string' ||
        basename(file) !== file ||
        file === '..' ||
        file.includes('\\')
      )
        throw new FormatError(`the tensor "${name}" has the shard ${JSON.stringify(file)}`);
      shards.set(name, file);
    }
    const count = new Set(shards.values()).size;
    if (count > maxShards)
      throw new FormatError(`the model has ${count} shards; the limit is ${maxShards}`);
    return shards;
  });
}

/** One reader over the shards; every tensor of the index must be in the shard that it names, and no other. */
async function openShards(
  folder: string,
  index: ReadonlyMap<string, string>,
  sources: ByteSource[],
): Promise<SafetensorsFile> {
  const files = new Map<string, SafetensorsFile>();
  const tensors = new Map<string, SafetensorsTensorInfo>();
  for (const name of new Set(index.values())) {
    const source = await openFileSource(join(folder, name));
    sources.push(source);
    const file = await readSafetensors(source);
    files.set(name, file);
    for (const tensor of file.tensors.values()) {
      if (index.get(tensor.name) !== name)
        throw new FormatError(`the tensor "${tensor.name}" is not where the index says`, {
          path: source.name,
        });
      tensors.set(tensor.name, tensor);
    }
  }
  const holder = (tensor: string): SafetensorsFile => {
    const file = files.get(index.get(tensor) ?? '');
    if (file === undefined)
      throw new FormatError(`there is no tensor "${tensor}"`, { path: folder });
    return file;
  };
  for (const name of index.keys())
    if (!tensors.has(name))
      throw new FormatError(`the tensor "${name}" of the index is in no shard`, { path: folder });
  return {
    metadata: new Map(),
    tensors,
    readTensor: async (name) => holder(name).readTensor(name),
    readFloats: async (name) => holder(name).readFloats(name),
    readRows: async (name, from, count) => holder(name).readRows(name, from, count),
  };
}

async function open(path: string, stem: string, sources: ByteSource[]): Promise<SafetensorsFile> {
  const isFolder = (await stat(path)).isDirectory();
  const single = isFolder ? join(path, `${stem}.safetensors`) : path;
  const index = isFolder ? `${single}.index.json` : path;
  if (isFolder && !(await exists(single))) {
    if (!(await exists(index)))
      throw new FormatError(`the folder has neither ${stem}.safetensors nor its index`, { path });
    return openShards(path, await readIndex(index), sources);
  }
  if (path.endsWith('.index.json'))
    return openShards(dirname(path), await readIndex(path), sources);
  const source = await openFileSource(single);
  sources.push(source);
  return readSafetensors(source);
}

/**
 * `path`: one .safetensors file, or a folder with `model.safetensors` or
 * `model.safetensors.index.json` and its shards (`stem` instead of `model` for adapters).
 */
export async function openSafetensors(path: string, stem = 'model'): Promise<SafetensorsFolder> {
  const sources: ByteSource[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(sources.map((source) => source.close()));
  };
  try {
    const file = await open(path, stem, sources);
    return { ...file, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}
