// From what a person wrote to what a run is a pure function of: absolute paths, `auto` decided, inputs
// named by their SHA-256. The identity of a run leaves out what cannot change its numbers: where the
// files lie, how often it saves, how much memory it may take.
import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { extname, isAbsolute, join, resolve } from 'node:path';
import { CorralError, type LoraTarget, type RunConfig, loraTargets } from '@corral/contracts';
import { multipliesBytesExactly } from '../models/exact-bytes.ts';
import { type Precision, resolvePrecision } from './precision.ts';
import { methodTraits } from './methods.ts';
import { readPeftSettings } from '../checkpoint/peft-folder.ts';
import { hashFile } from '../data/line-reader.ts';

export interface ResolvedInput {
  /** Absolute. */
  readonly path: string;
  /** Lower-case hexadecimal; of a folder: of the list of its files' names and hashes. */
  readonly sha256: string;
}

export interface ResolvedRunConfig {
  readonly schema: 'corral-run/1';
  readonly method: RunConfig['method'];
  readonly model: ResolvedInput;
  readonly data: Omit<RunConfig['data'], 'train' | 'validation'> & {
    readonly train: ResolvedInput;
    /** A file, or the share held out by hash. */
    readonly validation: ResolvedInput | number;
  };
  readonly lora: Omit<RunConfig['lora'], 'init'> & {
    /** The adapter folder that the run begins with. */
    readonly init?: ResolvedInput;
  };
  readonly train: RunConfig['train'];
  readonly dpo: RunConfig['dpo'];
  readonly checkpoint: RunConfig['checkpoint'];
  readonly runtime: {
    readonly device: string;
    readonly precision: Precision;
    readonly threads: number;
    /** Bytes. */
    readonly memory_limit: number;
  };
}

/** Files of a model folder that decide what the model is. */
const modelFiles = /\.(safetensors|json|jinja|model)$/;

async function hashFolder(folder: string): Promise<string> {
  const names = (await readdir(folder)).filter((name) => modelFiles.test(name)).toSorted();
  const hash = createHash('sha256');
  for (const name of names) hash.update(`${await hashFile(join(folder, name))}  ${name}\n`);
  return hash.digest('hex');
}

export async function resolveInput(path: string, folder: string): Promise<ResolvedInput> {
  const absolute = isAbsolute(path) ? path : resolve(folder, path);
  try {
    const isFolder = (await stat(absolute)).isDirectory();
    return {
      path: absolute,
      sha256: isFolder ? await hashFolder(absolute) : await hashFile(absolute),
    };
  } catch (error) {
    if (CorralError.isInstance(error)) throw error;
    throw new CorralError('file_not_found', { params: { path: absolute }, cause: error });
  }
}

const units: Record<string, number> = { MB: 1e6, GB: 1e9, MiB: 2 ** 20, GiB: 2 ** 30 };

/** Bytes of "12GiB" or of a number; `auto` is nine tenths of the machine's memory. */
export function resolveMemoryLimit(value: RunConfig['runtime']['memory_limit']): number {
  if (typeof value === 'number') return value;
  const match = /^(\d+(?:\.\d+)?)\s*(MiB|GiB|MB|GB)$/.exec(value);
  if (match) return Math.floor(Number(match[1]) * (units[match[2] ?? ''] ?? 1));
  return Math.floor(Math.min(totalmem(), process.constrainedMemory() || Infinity) * 0.9);
}

const unsupported = (param: string, reason: string): CorralError =>
  new CorralError('unsupported_parameter', { params: { param, reason }, param });

/** What this version cannot do is said before any file is read. Throws `unsupported_parameter`. */
function refuseUnsupported({ method, data, lora }: RunConfig): void {
  if (data.format === 'preference' && methodTraits[method].examplesPerItem === 1) {
    throw unsupported('data.format: preference', 'preference pairs need method dpo');
  }
  if (lora.init !== undefined && !methodTraits[method].trainsAdapter) {
    throw unsupported('lora.init', `method ${method} trains no adapter`);
  }
}

/** Hears what was decided against what is written. */
type Note = (message: string) => void;

const targetList = (targets: RunConfig['lora']['target_modules']): readonly LoraTarget[] =>
  targets === 'all-linear' ? loraTargets : loraTargets.filter((name) => targets.includes(name));

/** A run that goes on from an adapter has the adapter's shape and scale, whatever is written beside it. */
async function resolveLora(
  { init, ...written }: RunConfig['lora'],
  folder: string,
  note: Note,
): Promise<ResolvedRunConfig['lora']> {
  if (init === undefined) return written;
  const input = await resolveInput(init, folder);
  const { rank, alpha, useRslora, targets } = await readPeftSettings(input.path);
  const all = targets.length === loraTargets.length;
  const found = {
    ...written,
    rank,
    alpha,
    use_rslora: useRslora,
    target_modules: all ? ('all-linear' as const) : [...targets],
  };
  const said = { ...written, target_modules: targetList(written.target_modules).join(' ') };
  const taken = { ...found, target_modules: targets.join(' ') };
  for (const key of ['rank', 'alpha', 'use_rslora', 'target_modules'] as const) {
    if (said[key] === taken[key]) continue;
    note(`lora.${key} is ${taken[key]}, as in the adapter "${init}" (not ${said[key]}).`);
  }
  return { ...found, init: input };
}

/**
 * Resolves a configuration whose relative paths start at `folder`.
 * Throws CorralError `file_not_found`, `unsupported_parameter`, `model_file_invalid`.
 */
export async function resolveConfig(
  config: RunConfig,
  folder: string,
  note: Note = () => undefined,
): Promise<ResolvedRunConfig> {
  refuseUnsupported(config);
  const { data, runtime } = config;
  const { train, validation, ...rest } = data;
  return {
    schema: 'corral-run/1',
    method: config.method,
    model: await resolveInput(config.model, folder),
    data: {
      ...rest,
      train: await resolveInput(train, folder),
      validation:
        typeof validation === 'number' ? validation : await resolveInput(validation, folder),
    },
    lora: await resolveLora(config.lora, folder, note),
    train: config.train,
    dpo: config.dpo,
    checkpoint: config.checkpoint,
    runtime: {
      device: runtime.device === 'auto' ? 'cpu' : runtime.device,
      precision: await resolvePrecision(config, multipliesBytesExactly),
      threads: runtime.threads === 'auto' ? availableParallelism() : runtime.threads,
      memory_limit: resolveMemoryLimit(runtime.memory_limit),
    },
  };
}

/** JSON with sorted keys, so that equal values have equal text. */
function stableJson(value: unknown): string {
  return JSON.stringify(value, (_key, entry: unknown) =>
    typeof entry === 'object' && entry !== null && !Array.isArray(entry)
      ? Object.fromEntries(Object.entries(entry).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : entry,
  );
}

/**
 * SHA-256 of all that decides the numbers of a run. Two runs with the same identity, on the same machine
 * with the same number of threads, give the same bytes; a checkpoint is resumed only into its own.
 */
export function runIdentity(config: ResolvedRunConfig): string {
  const { checkpoint: _saving, runtime, model, data, lora, ...rest } = config;
  const { validation } = data;
  const identity = {
    ...rest,
    model: model.sha256,
    lora: { ...lora, ...(lora.init ? { init: lora.init.sha256 } : {}) },
    data: {
      ...data,
      train: data.train.sha256,
      // The ending decides between plain text and JSONL.
      train_ending: extname(data.train.path),
      validation: typeof validation === 'number' ? validation : validation.sha256,
    },
    runtime: { device: runtime.device, precision: runtime.precision },
  };
  return createHash('sha256').update(stableJson(identity)).digest('hex');
}
