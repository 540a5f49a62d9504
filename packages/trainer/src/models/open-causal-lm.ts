// Opens a model for training: reads or draws the weights, then puts the parts together.
import { readdir, stat } from 'node:fs/promises';
import { CorralError } from '@corral/contracts';
import type { ModelConfig } from '@corral/formats';
import { FormatError, openModelWeights, readModelConfig } from '@corral/formats';
import { createRuntime } from '../runtime/runtime.ts';
import type { CausalLm, OpenCausalLmOptions } from './causal-lm.ts';
import { chooseOutliers } from './choose-outliers.ts';
import { initialiseAdapters, initialiseBase, loadBase } from './load-tensors.ts';
import type { LayerForms, ModelTensors } from './model-tensors.ts';
import { allocateTensors } from './model-tensors.ts';
import { createTransformerLm } from './transformer-lm.ts';
import { formsFor, roundsWhenPacked } from './weight-forms/choose-forms.ts';

/** A folder that says what the model looks like and has no weights: training starts from scratch. */
const isShapeOnly = async (path: string): Promise<boolean> => {
  const info = await stat(path).catch((cause: unknown) => {
    throw new CorralError('file_not_found', { params: { path }, cause });
  });
  if (!info.isDirectory()) return false;
  const files = await readdir(path);
  return (
    files.includes('config.json') && !files.some((file) => /\.(safetensors|bin|pt)$/.test(file))
  );
};

const roundedNote =
  'The base has 16 or 32 bits a weight; its matrices are kept in 8 bits (blocks of 32, as Q8_0). For 4 bits give a base in Q4_0, Q4_K_M or the like.';

const formsOf = (
  { method, precision = 'float32', packedBase = false }: OpenCausalLmOptions,
  config: ModelConfig,
  storedAs: (name: string) => string,
): LayerForms | undefined =>
  method === 'full'
    ? undefined
    : formsFor(config, { precision, storedAs: packedBase ? storedAs : null });

/** @throws CorralError when the options and the model do not fit; FormatError from the file's reader */
const readTensors = async (
  options: OpenCausalLmOptions,
): Promise<{ config: ModelConfig; tensors: ModelTensors }> => {
  const { path, seed, onProgress } = options;
  const lora = options.method === 'lora' ? (options.lora ?? null) : null;
  if (await isShapeOnly(path)) {
    const config = await readModelConfig(path);
    const tensors = allocateTensors(
      config,
      lora,
      formsOf(options, config, () => 'F32'),
    );
    initialiseBase(tensors, seed);
    return { config, tensors };
  }
  await using weights = await openModelWeights(path);
  const storedAs = (name: string): string => weights.tensors.get(name)?.storedAs ?? '';
  const forms = formsOf(options, weights.config, storedAs);
  if (options.packedBase && roundsWhenPacked(weights.config, storedAs))
    options.onNote?.(roundedNote);
  const tensors = allocateTensors(weights.config, lora, forms);
  await loadBase(tensors, weights, onProgress);
  return { config: weights.config, tensors };
};

/**
 * The base frozen under `lora`, in float32 or as the options say; trainable under `full`.
 * @throws CorralError file_not_found, model_file_invalid, model_format_refused, model_unsupported,
 * non_finite_weights, native_library_missing (the device), config_invalid
 */
export const openCausalLm = async (options: OpenCausalLmOptions): Promise<CausalLm> => {
  const { method, lora, seed, threads, device, recompute = false } = options;
  if (method === 'lora' && !lora) {
    throw new CorralError('config_invalid', {
      params: { details: 'lora: needed for method lora' },
    });
  }
  const runtime = createRuntime({ device, threads });
  try {
    const { config, tensors } = await readTensors(options);
    initialiseAdapters(tensors, seed);
    await chooseOutliers(tensors, { config, device, threads });
    const adapters = method === 'lora' ? (lora ?? null) : null;
    return createTransformerLm({ config, tensors, lora: adapters, seed, recompute, runtime });
  } catch (error) {
    await runtime.close();
    if (!FormatError.isInstance(error)) throw error;
    throw new CorralError(error.code, { params: error.params, cause: error });
  }
};
