// Fills a model's tensors: base weights from a file, or drawn by seed when there are none; adapters
// always drawn.
import { CorralError } from '@corral/contracts';
import { dequantise, isLeveled, type ModelWeights } from '@corral/formats';
import { elementCount } from '../graph/value.ts';
import type { LayerTensor, ModelTensors } from './model-tensors.ts';
import { allTensors, everyTensor, isAdapter, isMatrix, partsOf } from './model-tensors.ts';
import type { Key } from './random.ts';
import { deriveKey, fillNormal, fillUniform } from './random.ts';
import { takeBlocksApart } from './weight-forms/blocks.ts';
import type { PartSource } from './weight-forms/frozen-matrix.ts';
import { fillPart } from './weight-forms/frozen-matrix.ts';

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

/** A named tensor of the file and where its numbers go. */
interface BasePart {
  readonly name: string;
  readonly shape: readonly number[];
  readonly keepsBlocks: boolean;
  readonly write: (source: PartSource) => void;
}

/** Levels are finite whatever they are. */
const isFiniteSource = ({ blocks, floats }: PartSource): boolean =>
  blocks
    ? isFinite(blocks.parts.scales) && isFinite(blocks.parts.offsets ?? new Float32Array())
    : isFinite(floats());

const basePartsOf = (tensor: LayerTensor): BasePart[] => {
  if (!isMatrix(tensor)) {
    return partsOf(tensor).map(({ name, shape, data }) => ({
      name,
      shape,
      keepsBlocks: false,
      write: ({ floats }) => data.set(floats()),
    }));
  }
  const { matrix } = tensor;
  let nextRow = 0;
  return tensor.parts.map(({ name, shape }) => {
    const [rows = 0, columns = 0] = shape;
    const firstRow = nextRow;
    nextRow += rows;
    return {
      name,
      shape,
      keepsBlocks: matrix.exact.form.kind === 'blocks',
      write: (source) => fillPart(matrix, { firstRow, rows, columns }, source),
    };
  });
};

const baseParts = (tensors: ModelTensors): BasePart[] =>
  everyTensor(tensors)
    .filter((tensor) => !isAdapter(tensor))
    .flatMap(basePartsOf);

type Weights = Pick<ModelWeights, 'readFloats'> &
  Partial<Pick<ModelWeights, 'readBlocks' | 'tensors'>>;

const readPart = async (
  weights: Weights,
  name: string,
  keepsBlocks: boolean,
): Promise<PartSource> => {
  const type = weights.tensors?.get(name)?.storedAs ?? '';
  const bytes = keepsBlocks && isLeveled(type) ? await weights.readBlocks?.(name) : null;
  if (!bytes || !isLeveled(type)) {
    const values = await weights.readFloats(name);
    return { blocks: null, floats: () => values };
  }
  const blocks = takeBlocksApart(type, bytes);
  return { blocks, floats: () => dequantise(type, bytes) };
};

/**
 * @param weights a reader that has checked names and shapes against the configuration
 * @throws CorralError non_finite_weights; FormatError of the reader
 */
export const loadBase = async (
  tensors: ModelTensors,
  weights: Weights,
  onProgress?: (done: number, total: number) => void,
): Promise<void> => {
  const parts = baseParts(tensors);
  const bytes = (shape: readonly number[]): number => 4 * elementCount(shape);
  const total = parts.reduce((sum, { shape }) => sum + bytes(shape), 0);
  let done = 0;
  for (const { name, shape, keepsBlocks, write } of parts) {
    const source = await readPart(weights, name, keepsBlocks);
    if (!isFiniteSource(source))
      throw new CorralError('non_finite_weights', { params: { tensor: name } });
    write(source);
    done += bytes(shape);
    onProgress?.(done, total);
  }
};

/** Matrices normal, norms 1, biases 0: what transformers does for a Llama without weights. */
export const initialiseBase = (tensors: ModelTensors, seed: number): void => {
  for (const [i, { name, shape, write }] of baseParts(tensors).entries()) {
    const values = new Float32Array(elementCount(shape));
    if (shape.length > 1)
      fillNormal(deriveKey(seedKey(seed), purposes.base, i), values, initialDeviation);
    else values.fill(name.endsWith('.bias') ? 0 : 1);
    write({ blocks: null, floats: () => values });
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
