// A trained model in the forms that others take: PEFT folder, merged Hugging Face folder, GGUF file. Room on the disk
// is checked first; what is written appears under its name when it is whole. Memory is that of some rows.
import { copyFile, mkdir, readdir, rename, rm, stat, statfs } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import {
  CorralError,
  type ExportConfig,
  type ExportFormat,
  type ExportResult,
} from '@corral/contracts';
import {
  type FolderDtype,
  type GgufForm,
  type ModelWeights,
  openModelWeights,
  withLora,
} from '@corral/formats';
import { readPeftProducts } from '../checkpoint/peft-folder.ts';
import { hashFile } from '../data/line-reader.ts';
import { withCodes } from '../format-errors.ts';
import { writeFileAtomic, writeJsonAtomic } from '../output/atomic-file.ts';
import { explainFullDisk } from '../output/disk-full.ts';
import { writeCard } from './export-card.ts';
import { copyTerms, writeModelFolder, writeModelGguf } from './export-folder.ts';
import { type ModelSource, openSource } from './export-source.ts';

export interface ExportOptions {
  readonly signal?: AbortSignal | undefined;
  /** What happens, and how far it is: numbers of weights, or of files. */
  readonly onProgress?: ((phase: string, done: number, total: number) => void) | undefined;
}

interface Export {
  readonly config: ExportConfig;
  readonly source: ModelSource;
  /** Beside the final place. */
  readonly target: string;
  readonly name: string;
  readonly adapterSha256: string | null;
  readonly options: ExportOptions;
}

/** What a writer says of what it wrote. */
type Written = Pick<ExportResult, 'weights' | 'notes'>;

const refuse = (param: string, reason: string): CorralError =>
  new CorralError('unsupported_parameter', { params: { param, reason }, param });

const dtypes = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' } as const;
/** Bytes of a weight of a matrix. */
const formBytes: Record<GgufForm, number> = { F32: 4, F16: 2, BF16: 2, Q8_0: 34 / 32 };
const directForms: Readonly<Record<string, GgufForm>> = {
  f32: 'F32',
  f16: 'F16',
  bf16: 'BF16',
  q8_0: 'Q8_0',
};
/** Tokenizer, card, headers. */
const smallFilesBytes = 64 * 2 ** 20;

/** How most of the weights of a model are stored. */
function storedAs({ tensors }: ModelWeights): string {
  const counts = new Map<string, number>();
  for (const { storedAs: type, shape } of tensors.values())
    if (shape.length === 2)
      counts.set(type, (counts.get(type) ?? 0) + shape.reduce((a, b) => a * b, 1));
  return [...counts].toSorted((a, b) => b[1] - a[1])[0]?.[0] ?? 'F32';
}

/** As asked, else as the base has them; of blocks of fewer bits in float16, to half a unit of its last digit. */
function chooseDtype({ dtype }: ExportConfig, stored: string): FolderDtype {
  if (dtype !== 'auto') return dtypes[dtype];
  return stored === 'F32' || stored === 'BF16' ? stored : 'F16';
}

const mebibytes = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`;

async function requireRoom(output: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(output));
  const available = bavail * bsize;
  const needed = bytes + smallFilesBytes;
  if (available >= needed) return;
  throw new CorralError('disk_too_small', {
    params: {
      path: dirname(output),
      available: mebibytes(available),
      needed: mebibytes(needed),
      purpose: 'the exported model',
    },
    details: { available_bytes: available, needed_bytes: needed },
  });
}

/** The weights to be written: of the model itself, or of the base with the adapter in them. */
async function openMerged({ adapter, base }: ModelSource): Promise<ModelWeights> {
  const products = adapter === null ? null : await readPeftProducts(adapter);
  const weights = await withCodes(base, () => openModelWeights(base));
  if (products === null) return weights;
  try {
    return await withCodes(base, async () => withLora(weights, products));
  } catch (error) {
    await weights.close();
    throw error;
  }
}

const countOf = ({ tensors }: ModelWeights): number =>
  [...tensors.values()].reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);

const isPlain = (stored: string): boolean => ['F32', 'F16', 'BF16'].includes(stored);

/** Runs `write` over the merged weights, with room checked and errors told in this project's codes. */
async function writeWeights(
  { config, source, options }: Export,
  write: (weights: ModelWeights, dtype: FolderDtype, form: GgufForm) => Promise<string>,
): Promise<Written> {
  await using weights = await openMerged(source);
  const stored = storedAs(weights);
  const dtype = chooseDtype(config, stored);
  const form = config.form === undefined ? dtype : directForms[config.form];
  if (form === undefined)
    throw refuse(
      `form: ${config.form ?? ''}`,
      `it is one of llama.cpp's mixtures; use ${Object.keys(directForms).join(', ')} and convert that`,
    );
  const bytes = countOf(weights) * (config.format === 'gguf' ? formBytes[form] : formBytes[dtype]);
  await requireRoom(resolve(config.output), bytes);
  options.signal?.throwIfAborted();
  const written = await withCodes(source.base, () => write(weights, dtype, form));
  const notes = isPlain(stored)
    ? []
    : [
        `The base has ${stored} weights: they were dequantised first. The result holds what they say, not what they were rounded from.`,
      ];
  return { weights: written, notes };
}

const adapterFiles = ['adapter_model.safetensors', 'adapter_config.json', 'adapter.gguf'] as const;
const runFiles = ['README.md', 'loss.svg'] as const;

/** The adapter's own files, and the terms of its base. */
async function writePeft({ source, target }: Export): Promise<Written> {
  const { adapter } = source;
  if (adapter === null)
    throw refuse('format: peft', 'this is a whole model and no adapter; use merged or gguf');
  await mkdir(target, { recursive: true });
  const there = new Set(await readdir(adapter));
  for (const name of [...adapterFiles, ...runFiles])
    if (there.has(name)) await copyFile(join(adapter, name), join(target, name));
  await copyTerms(source, target);
  return { weights: null, notes: [] };
}

async function writeMerged(job: Export): Promise<Written> {
  const { source, target, name, adapterSha256, options } = job;
  const written = await writeWeights(job, async (weights, dtype) => {
    await writeModelFolder(source, weights, {
      target,
      dtype,
      signal: options.signal,
      onProgress: (done, total) => options.onProgress?.('write weights', done, total),
    });
    return dtype;
  });
  const run = source.adapter ?? source.base;
  if ((await readdir(run)).includes('loss.svg'))
    await copyFile(join(run, 'loss.svg'), join(target, 'loss.svg'));
  const notes = [...source.notes, ...written.notes];
  const card = await writeCard(source, {
    name,
    adapterSha256,
    notes,
    weights: written.weights ?? '',
  });
  await writeFileAtomic(join(target, 'README.md'), card);
  return written;
}

const writeGguf = (job: Export): Promise<Written> =>
  writeWeights(job, async (weights, _dtype, form) => {
    const { source, target, name, adapterSha256, options } = job;
    await writeModelGguf(source, weights, {
      target,
      form,
      name,
      adapterSha256,
      signal: options.signal,
      onProgress: (done, total) => options.onProgress?.('write weights', done, total),
    });
    return form;
  });

type WrittenFormat = Exclude<ExportFormat, 'onnx'>;

const writers: Record<WrittenFormat, (job: Export) => Promise<Written>> = {
  peft: writePeft,
  merged: writeMerged,
  gguf: writeGguf,
};

/** Throws `unsupported_parameter` for what is not written, before anything is read. */
function readFormat({ format }: ExportConfig): WrittenFormat {
  if (format !== 'onnx') return format;
  throw refuse(
    'format: onnx',
    'the trainer\'s graphs are single layers made for training, not a decoder that others run; export "merged" and convert that, for example with optimum-cli',
  );
}

async function listFiles(target: string, output: string): Promise<ExportResult['files']> {
  const files: Record<string, { bytes: number; sha256: string }> = {};
  for (const name of await namesIn(target)) {
    const path = join(target, name);
    const { size } = await stat(path);
    files[name || basename(output)] = { bytes: size, sha256: await hashFile(path) };
  }
  return files;
}

const namesIn = async (target: string): Promise<string[]> =>
  (await stat(target)).isDirectory() ? (await readdir(target)).toSorted() : [''];

/** An earlier export that was killed left its half beside; nobody else writes under this name. */
async function removeHalves(output: string): Promise<void> {
  const prefix = `${basename(output)}.partial-`;
  for (const name of await readdir(dirname(output)))
    if (name.startsWith(prefix)) await rm(join(dirname(output), name), { recursive: true });
}

async function requireFree(output: string): Promise<void> {
  const taken = await stat(output).catch(() => null);
  if (taken !== null)
    throw new CorralError('conflict', {
      params: { reason: `"${output}" exists already. Give another --output.` },
    });
  await mkdir(dirname(output), { recursive: true });
  await removeHalves(output);
}

async function writeAll(job: Export, format: WrittenFormat, output: string): Promise<ExportResult> {
  const { source, target, options, adapterSha256 } = job;
  const written = await writers[format](job);
  options.onProgress?.('check files', 0, 1);
  const files = await listFiles(target, output);
  const notes = [...source.notes, ...written.notes];
  const result: ExportResult = {
    type: 'exported',
    path: output,
    format,
    weights: written.weights,
    bytes: Object.values(files).reduce((sum, { bytes }) => sum + bytes, 0),
    base_sha256: source.baseSha256,
    adapter_sha256: adapterSha256,
    files,
    notes,
  };
  if (format !== 'gguf') {
    const { type: _type, path: _path, ...record } = result;
    await writeJsonAtomic(join(target, 'export.json'), { schema: 'corral-export/1', ...record });
  }
  await rename(target, output);
  options.onProgress?.('check files', 1, 1);
  return result;
}

/**
 * Writes the model of a run's folder (or any PEFT adapter with its base) in another form. Paths are absolute or
 * relative to the current folder. Throws CorralError `conflict` when the output exists, `unsupported_parameter`,
 * `model_unsupported` for another base, `model_file_invalid`, `disk_too_small`, `disk_full`, `cancelled`.
 */
export async function exportModel(
  config: ExportConfig,
  options: ExportOptions = {},
): Promise<ExportResult> {
  const output = resolve(config.output);
  const format = readFormat(config);
  await requireFree(output);
  options.onProgress?.('check base', 0, 1);
  const source = await openSource(config);
  const target = `${output}.partial-${process.pid}`;
  const adapterSha256 =
    source.adapter === null
      ? null
      : await hashFile(join(source.adapter, 'adapter_model.safetensors'));
  const name =
    config.name ??
    (source.adapter === null
      ? basename(source.base)
      : `${basename(source.base).replace(/\.gguf$/i, '')}, tuned`);
  try {
    const job = { config, source, target, name, adapterSha256, options };
    return await writeAll(job, format, output);
  } catch (error) {
    if (options.signal?.aborted) throw new CorralError('cancelled', { cause: error });
    throw await explainFullDisk(dirname(output), error);
  } finally {
    await rm(target, { recursive: true, force: true });
  }
}
