// A PEFT adapter folder as a place to begin: its settings (adapter_config.json) and its numbers
// (adapter_model.safetensors). What this trainer could not go on from exactly is refused by name. Knows no
// method and no optimiser: moments begin at zero.
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CorralError, type LoraTarget, loraTargets } from '@corral/contracts';
import {
  type LoraProduct,
  type SafetensorsFile,
  dequantise,
  openFileSource,
  readSafetensors,
} from '@corral/formats';
import { withCodes } from '../format-errors.ts';
import type { Parameter } from '../models/causal-lm.ts';
import { loraScale } from '../models/lora-scale.ts';

/** PEFT writes about 1 KB; more is some other file. */
const maxConfigBytes = 1024 * 1024;

export interface PeftSettings {
  readonly rank: number;
  readonly alpha: number;
  readonly useRslora: boolean;
  /** In the order of contracts' loraTargets. */
  readonly targets: readonly LoraTarget[];
}

const invalid = (path: string, reason: string, cause?: unknown): CorralError =>
  new CorralError('model_file_invalid', { params: { path, reason }, cause });

/** Settings under which the numbers mean something else than plain LoRA; absent, null or empty in what is read. */
const refusedKeys = [
  'use_dora',
  'fan_in_fan_out',
  'modules_to_save',
  'rank_pattern',
  'alpha_pattern',
  'layer_replication',
  'trainable_token_indices',
  'lora_bias',
] as const;

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isEmpty = (value: unknown): boolean =>
  value === undefined ||
  value === null ||
  value === false ||
  (typeof value === 'object' && Object.keys(value).length === 0);

async function readConfig(path: string): Promise<Fields> {
  const text = await withCodes(path, async () => {
    const { size } = await stat(path);
    if (size > maxConfigBytes) throw invalid(path, `it has ${size} bytes`);
    return readFile(path, 'utf8');
  });
  try {
    const value: unknown = JSON.parse(text);
    if (isFields(value)) return value;
  } catch (error) {
    throw invalid(path, 'it is not JSON', error);
  }
  throw invalid(path, 'it is no JSON object');
}

function settingsOf(path: string, config: Fields): Omit<PeftSettings, 'targets'> {
  const { peft_type, bias = 'none', r: rank, lora_alpha: alpha, use_rslora = false } = config;
  if (peft_type !== 'LORA') throw invalid(path, `"peft_type" is ${String(peft_type)}, not LORA`);
  const refused = refusedKeys.find((key) => !isEmpty(config[key]));
  if (refused !== undefined) throw invalid(path, `Corral trains no adapters with "${refused}"`);
  if (bias !== 'none') throw invalid(path, 'Corral trains no adapters with "bias"');
  if (typeof rank !== 'number' || !Number.isInteger(rank) || rank < 1 || rank > 1024) {
    throw invalid(path, `"r" is ${String(rank)}`);
  }
  if (typeof alpha !== 'number' || !(alpha > 0) || alpha > 4096) {
    throw invalid(path, `"lora_alpha" is ${String(alpha)}`);
  }
  return { rank, alpha, useRslora: use_rslora === true };
}

const weightsPath = (folder: string): string => join(folder, 'adapter_model.safetensors');

const namePattern = /^base_model\.model\.model\.layers\.\d+\.\w+\.(\w+)\.lora_[AB]\.weight$/;

function targetsOf(path: string, { tensors }: SafetensorsFile): LoraTarget[] {
  const found = new Set<string>();
  for (const name of tensors.keys()) {
    const target = namePattern.exec(name)?.[1];
    if (target === undefined || !loraTargets.some((known) => known === target)) {
      throw invalid(path, `"${name}" is no LoRA matrix of a layer that Corral adapts`);
    }
    found.add(target);
  }
  return loraTargets.filter((target) => found.has(target));
}

/**
 * Settings of the adapter in a folder; targets are those that have numbers.
 * Throws CorralError `file_not_found`, `model_file_invalid`, `model_format_refused`.
 */
export async function readPeftSettings(folder: string): Promise<PeftSettings> {
  const configPath = join(folder, 'adapter_config.json');
  const settings = settingsOf(configPath, await readConfig(configPath));
  const path = weightsPath(folder);
  return withCodes(path, async () => {
    await using source = await openFileSource(path);
    return { ...settings, targets: targetsOf(path, await readSafetensors(source)) };
  });
}

const floatDtypes = ['F32', 'F16', 'BF16'] as const;

async function readValues(
  path: string,
  file: SafetensorsFile,
  parameter: Pick<Parameter, 'name' | 'shape'>,
) {
  const { name, shape } = parameter;
  const info = file.tensors.get(name);
  if (!info) throw invalid(path, `the tensor "${name}" is missing`);
  if (info.shape.join() !== shape.join()) {
    throw invalid(path, `"${name}" is [${info.shape.join(', ')}], not [${shape.join(', ')}]`);
  }
  const dtype = floatDtypes.find((known) => known === info.dtype);
  if (!dtype) throw invalid(path, `"${name}" has dtype ${info.dtype}`);
  const values = dequantise(dtype, await file.readTensor(name));
  if (!values.every(Number.isFinite)) {
    throw new CorralError('non_finite_weights', { params: { tensor: name } });
  }
  return values;
}

/**
 * Puts the adapter's numbers into parameters of the same names and shapes, all or none.
 * Throws CorralError `model_file_invalid`, `non_finite_weights`.
 */
export async function loadPeftValues(
  folder: string,
  parameters: readonly Parameter[],
): Promise<void> {
  const path = weightsPath(folder);
  await withCodes(path, async () => {
    await using source = await openFileSource(path);
    const file = await readSafetensors(source);
    const names = new Set(parameters.map(({ name }) => name));
    const strange = [...file.tensors.keys()].find((name) => !names.has(name));
    if (strange !== undefined) throw invalid(path, `the model has no place for "${strange}"`);
    const found: Float32Array[] = [];
    for (const parameter of parameters) found.push(await readValues(path, file, parameter));
    for (const [index, values] of found.entries()) parameters[index]?.data.set(values);
  });
}

/** [rank, inputs] or [outputs, rank]: the side that the settings do not say. */
function freeSide(path: string, file: SafetensorsFile, name: string): number {
  const shape = file.tensors.get(name)?.shape;
  if (shape?.length !== 2) throw invalid(path, `the matrix "${name}" is missing`);
  return shape[name.endsWith('.lora_A.weight') ? 1 : 0] ?? 0;
}

/**
 * The adapter as products, by Hugging Face's names of the matrices they change.
 * Throws CorralError `file_not_found`, `model_file_invalid`, `non_finite_weights`.
 */
export async function readPeftProducts(folder: string): Promise<ReadonlyMap<string, LoraProduct>> {
  const { rank, alpha, useRslora } = await readPeftSettings(folder);
  const scale = loraScale({ rank, alpha, use_rslora: useRslora });
  const path = weightsPath(folder);
  return withCodes(path, async () => {
    await using source = await openFileSource(path);
    const file = await readSafetensors(source);
    const products = new Map<string, LoraProduct>();
    for (const stem of new Set([...file.tensors.keys()].map(stemOf))) {
      const [nameA, nameB] = [`${stem}.lora_A.weight`, `${stem}.lora_B.weight`];
      const shapeA = [rank, freeSide(path, file, nameA)];
      const shapeB = [freeSide(path, file, nameB), rank];
      products.set(`${stem.slice(peftPrefix.length)}.weight`, {
        a: await readValues(path, file, { name: nameA, shape: shapeA }),
        b: await readValues(path, file, { name: nameB, shape: shapeB }),
        rank,
        scale,
      });
    }
    return products;
  });
}

const peftPrefix = 'base_model.model.';
const stemOf = (name: string): string => name.replace(/\.lora_[AB]\.weight$/, '');
