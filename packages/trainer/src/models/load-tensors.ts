// Fills a model's tensors: base weights from a file, or drawn by seed when there are none; adapters
// always drawn.
import { CorralError } from '@corral/contracts';
import type { ModelWeights } from '@corral/formats';
import type { ModelTensors, NamedPart } from './model-tensors.ts';
import { allTensors, isAdapter, partsOf } from './model-tensors.ts';
import type { Key } from './random.ts';
import { deriveKey, fillNormal, fillUniform } from './random.ts';

/** Standard deviation of fresh matrices: `initializer_range` of Llama's configuration. */
const initialDeviation = 0.02;

/** Purposes of random keys, so that no two draws share numbers. */
const purposes = { base: 1, adapter: 2 } as const;

const seedKey = (seed: number): Key => [seed, 0];

/** x · 0 is 0 for every finite x and NaN for all others, so one sum finds any of them. */
const isFinite = (values: Float32Array): boolean => {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += (values[i] ?? 0) * 0;
  return sum === 0;
};

const baseParts = (tensors: ModelTensors): NamedPart[] =>
  allTensors(tensors)
    .filter((tensor) => !isAdapter(tensor))
    .flatMap(partsOf);

/**
 * @param weights a reader that has checked names and shapes against the configuration
 * @throws CorralError non_finite_weights; FormatError of the reader
 */
export const loadBase = async (
  tensors: ModelTensors,
  weights: Pick<ModelWeights, 'readFloats'>,
  onProgress?: (done: number, total: number) => void,
): Promise<void> => {
  const parts = baseParts(tensors);
  const total = parts.reduce((sum, { data }) => sum + data.byteLength, 0);
  let done = 0;
  for (const { name, data } of parts) {
    data.set(await weights.readFloats(name));
    if (!isFinite(data)) throw new CorralError('non_finite_weights', { params: { tensor: name } });
    done += data.byteLength;
    onProgress?.(done, total);
  }
};

/** Matrices normal, norms 1, biases 0: what transformers does for a Llama without weights. */
export const initialiseBase = (tensors: ModelTensors, seed: number): void => {
  for (const [i, { name, shape, data }] of baseParts(tensors).entries()) {
    if (shape.length > 1)
      fillNormal(deriveKey(seedKey(seed), purposes.base, i), data, initialDeviation);
    else data.fill(name.endsWith('.bias') ? 0 : 1);
  }
};

/** PEFT's start: A by Kaiming's uniform rule with a = √5, which is ±1/√inputs; B zero, so nothing changes yet. */
export const initialiseAdapters = (tensors: ModelTensors, seed: number): void => {
  const adapters = allTensors(tensors).filter(isAdapter);
  for (const [i, { slot, shape, data }] of adapters.entries()) {
    const bound = 1 / Math.sqrt(shape[1] ?? 1);
    if (slot.endsWith('.A'))
      fillUniform(deriveKey(seedKey(seed), purposes.adapter, i), data, bound);
    else data.fill(0);
  }
};
