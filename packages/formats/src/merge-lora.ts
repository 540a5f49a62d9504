// A base with a LoRA adapter put into its weights: W + scale·B·A, computed for a block of rows when that is read.
// To whoever reads it is a model like any other, so all that writes models writes merged ones. Knows no
// adapter's file. Formula: Hu et al. 2021 (arXiv:2106.09685), section 4.1.
import { FormatError } from './format-error.ts';
import type { ModelWeights } from './model-weights.ts';

/** The adapter of one matrix [outputs, inputs]. */
export interface LoraProduct {
  /** A, row-major: [rank, inputs] */
  readonly a: Float32Array;
  /** B, row-major: [outputs, rank] */
  readonly b: Float32Array;
  readonly rank: number;
  /** alpha / rank, or alpha / √rank. */
  readonly scale: number;
}

/** `delta` += B[row] · A, four ranks at a time: each of them costs a pass over `delta`. */
function addProduct(delta: Float64Array, row: number, { a, b, rank }: LoraProduct): void {
  const width = delta.length;
  let k = 0;
  for (; k + 4 <= rank; k += 4) {
    const at = row * rank + k;
    const b0 = b[at] as number;
    const b1 = b[at + 1] as number;
    const b2 = b[at + 2] as number;
    const b3 = b[at + 3] as number;
    const a0 = k * width;
    const a1 = a0 + width;
    const a2 = a1 + width;
    const a3 = a2 + width;
    for (let i = 0; i < width; i++)
      delta[i] =
        (delta[i] as number) +
        b0 * (a[a0 + i] as number) +
        b1 * (a[a1 + i] as number) +
        b2 * (a[a2 + i] as number) +
        b3 * (a[a3 + i] as number);
  }
  for (; k < rank; k++) {
    const factor = b[row * rank + k] as number;
    const start = k * width;
    for (let i = 0; i < width; i++)
      delta[i] = (delta[i] as number) + factor * (a[start + i] as number);
  }
}

/**
 * Adds the adapter to rows of the matrix, in place. `values` holds whole rows, the first of which is row `from`
 * of the matrix. The product is summed in float64, so that the result is the float32 nearest to the sum.
 */
export function mergeLoraRows(
  values: Float32Array<ArrayBuffer>,
  from: number,
  product: LoraProduct,
): Float32Array<ArrayBuffer> {
  const width = product.a.length / product.rank;
  const delta = new Float64Array(width);
  for (let row = 0; row < values.length / width; row++) {
    delta.fill(0);
    addProduct(delta, from + row, product);
    const start = row * width;
    for (let i = 0; i < width; i++)
      values[start + i] = (values[start + i] as number) + product.scale * (delta[i] as number);
  }
  return values;
}

/** FormatError when the base has no such matrix or one of another shape. */
function checkProduct(weights: ModelWeights, name: string, { a, b, rank }: LoraProduct): void {
  const shape = weights.tensors.get(name)?.shape;
  if (shape === undefined)
    throw new FormatError(`the model has no matrix "${name}", which the adapter changes`);
  const [outputs, inputs] = [b.length / rank, a.length / rank];
  if (shape.length === 2 && shape[0] === outputs && shape[1] === inputs) return;
  throw new FormatError(
    `"${name}" of the model is [${shape.join(', ')}], and the adapter is for [${outputs}, ${inputs}]`,
  );
}

/**
 * `weights` with the products added, by Hugging Face's names of the matrices. Closing it closes `weights`.
 * FormatError when an adapter does not fit.
 */
export function withLora(
  weights: ModelWeights,
  products: ReadonlyMap<string, LoraProduct>,
): ModelWeights {
  for (const [name, product] of products) checkProduct(weights, name, product);
  const merge = (name: string, from: number, values: Float32Array<ArrayBuffer>) => {
    const product = products.get(name);
    return product === undefined ? values : mergeLoraRows(values, from, product);
  };
  return {
    ...weights,
    readFloats: async (name) => merge(name, 0, await weights.readFloats(name)),
    readRows: async (name, from, count) =>
      merge(name, from, await weights.readRows(name, from, count)),
    readBlocks: (name) => (products.has(name) ? Promise.resolve(null) : weights.readBlocks(name)),
  };
}
