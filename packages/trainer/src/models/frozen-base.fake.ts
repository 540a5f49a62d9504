// Small models whose base lies as a run may keep it, from one random file in memory, so that forms can be
// compared: plain float32, blocks of any type, 8-bit products.
import { dequantise, expectedTensors, type LeveledType, type ModelConfig } from '@corral/formats';
import { createRuntime } from '../runtime/runtime.ts';
import type { CausalLm } from './causal-lm.ts';
import { chooseOutliers } from './choose-outliers.ts';
import { loadBase } from './load-tensors.ts';
import type { ModelTensors } from './model-tensors.ts';
import { allTensors, allocateTensors, isAdapter, partsOf } from './model-tensors.ts';
import { noise, tinyConfig, tinyLora } from './tiny-model.fake.ts';
import { createTransformerLm } from './transformer-lm.ts';
import { randomBlocks } from './weight-forms/blocks.fake.ts';
import { formsFor } from './weight-forms/choose-forms.ts';

/** Wide enough for super-blocks of 256. */
export const blockConfig: ModelConfig = {
  ...tinyConfig,
  hidden_size: 256,
  intermediate_size: 512,
  head_dim: 64,
};

const sizeOf = (shape: readonly number[]): number => shape.reduce((all, n) => all * n, 1);

/** A file whose matrices are of the types that `typeOf` says; norms are near 1. */
const randomFile = (
  shapes: ReadonlyMap<string, readonly number[]>,
  { typeOf, size }: { readonly typeOf: (name: string) => LeveledType; readonly size: number },
) => {
  const isVector = (name: string): boolean => (shapes.get(name)?.length ?? 1) === 1;
  const blocks = (name: string) =>
    randomBlocks(typeOf(name), sizeOf(shapes.get(name) ?? []), { seed: name, size });
  const floats = (name: string): Float32Array<ArrayBuffer> =>
    isVector(name)
      ? noise(name, sizeOf(shapes.get(name) ?? [])).map((x) => 1 + 0.25 * x)
      : dequantise(typeOf(name), blocks(name));
  return {
    tensors: new Map(
      [...shapes].map(([name, shape]) => [
        name,
        { name, shape, storedAs: isVector(name) ? 'F32' : typeOf(name) },
      ]),
    ),
    readFloats: (name: string) => Promise.resolve(floats(name)),
    readBlocks: (name: string) => Promise.resolve(blocks(name)),
  };
};

export interface FrozenBaseOptions {
  readonly config?: ModelConfig;
  readonly typeOf?: (name: string) => LeveledType;
  /** Keep the blocks instead of float32. */
  readonly packed?: boolean;
  /** Weights are about a tenth of it. */
  readonly size?: number;
  readonly precision?: 'float32' | 'int8';
  readonly recompute?: boolean;
  readonly threads?: number;
}

export interface FrozenBase {
  readonly model: CausalLm;
  readonly tensors: ModelTensors;
}

export const openFrozenBase = async ({
  config = blockConfig,
  typeOf = () => 'Q8_0',
  packed = false,
  size = 1,
  precision = 'float32',
  recompute = false,
  threads = 1,
}: FrozenBaseOptions): Promise<FrozenBase> => {
  const storedAs = packed ? typeOf : null;
  const tensors = allocateTensors(config, tinyLora, formsFor(config, { precision, storedAs }));
  const shapes = expectedTensors(config);
  await loadBase(tensors, randomFile(shapes, { typeOf, size }));
  for (const { name, data } of allTensors(tensors).filter(isAdapter).flatMap(partsOf)) {
    data.set(noise(name, data.length).map((x) => 0.1 * x));
  }
  await chooseOutliers(tensors, { config, device: 'cpu', threads });
  const runtime = createRuntime({ device: 'cpu', threads });
  const options = { config, tensors, lora: tinyLora, seed: 0, recompute, runtime };
  return { model: createTransformerLm(options), tensors };
};
