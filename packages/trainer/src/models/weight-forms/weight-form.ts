// How a matrix W [N, K] lies in memory and is multiplied: one table entry a form. The layer description
// asks for x·Wᵀ and does not know which form answers; files that fill a form are its neighbours here.
//   float32   the numbers themselves, trainable
//   int8      8-bit integers with one scale an output channel, multiplied in integer arithmetic
//   blocks    4- or 8-bit levels with a scale (and offset) for each few columns, made float32 in the graph
import {
  add,
  dequantise,
  input,
  int8Matmul,
  matmul,
  reduceSum,
  reshape,
  unpackNibbles,
} from '../../graph/ops.ts';
import type { DType, Node, Shape, Value } from '../../graph/value.ts';
import type { Matrix } from '../../nn/linear.ts';

/** (level - zero) · scale + offset; levels are unsigned when packed in pairs and signed otherwise. */
export interface BlockForm {
  readonly kind: 'blocks';
  readonly bits: 4 | 8;
  /** Columns that share a scale. */
  readonly blockSize: number;
  readonly zero: number;
  readonly hasOffset: boolean;
}
interface Int8Form {
  readonly kind: 'int8';
  /** Columns that are multiplied in float32. */
  readonly outliers: number;
  /** Matrices with the same input have the same outlier columns: the name that they share. */
  readonly site: string;
}
export type WeightForm = { readonly kind: 'float32' } | Int8Form | BlockForm;
export type MatrixShape = readonly [rows: number, columns: number];

export const float32Form: WeightForm = { kind: 'float32' };

/** One of the tensors that hold a matrix. */
export interface FormTensor {
  /** Of the graph's input. */
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: DType;
}

interface FormRules<F extends WeightForm> {
  readonly tensors: (slot: string, shape: MatrixShape, form: F) => readonly FormTensor[];
  /** x·Wᵀ from the tensors, in the order of `tensors`. */
  readonly times: (x: Value, tensors: readonly Value[], form: F) => Value;
}

const nth = (values: readonly Value[], index: number): Value => {
  const value = values[index];
  if (!value) throw new TypeError(`tensor ${index} of a matrix is missing`);
  return value;
};

/**
 * x·(levels·scale)ᵀ + sums·offsetᵀ, where sums [M, K/B] add up x over each block: the offset of a block
 * meets every one of its columns, so it need not be added to each weight.
 */
const timesBlocks = (x: Value, tensors: readonly Value[], form: BlockForm): Value => {
  const stored = nth(tensors, 0);
  const levels = form.bits === 4 ? unpackNibbles(stored) : stored;
  const scaled = dequantise(levels, nth(tensors, 1), form.zero);
  const y = matmul(x, scaled, { transposeB: true });
  if (!form.hasOffset) return y;
  const [rows = 0, columns = 0] = x.shape;
  const blocks = columns / form.blockSize;
  const byBlock = reduceSum(reshape(x, [rows, blocks, form.blockSize]), [2]);
  return add(y, matmul(reshape(byBlock, [rows, blocks]), nth(tensors, 2), { transposeB: true }));
};

/** The forms differ in what they need to know; the table is total all the same. */
const forms: { readonly [K in WeightForm['kind']]: FormRules<WeightForm & { kind: K }> } = {
  float32: {
    tensors: (slot, shape) => [{ name: slot, shape, dtype: 'float32' }],
    times: (x, tensors) => matmul(x, nth(tensors, 0), { transposeB: true }),
  },
  int8: {
    tensors: (slot, [rows, columns], { outliers, site }) => [
      { name: `${slot}.int8`, shape: [rows, columns], dtype: 'int8' },
      { name: `${slot}.scale`, shape: [rows], dtype: 'float32' },
      { name: `${site}.keep`, shape: [columns], dtype: 'float32' },
      { name: `${site}.columns`, shape: [outliers], dtype: 'int64' },
      { name: `${slot}.outliers`, shape: [rows, outliers], dtype: 'float32' },
    ],
    times: (x, tensors) =>
      int8Matmul(x, nth(tensors, 0), {
        scale: nth(tensors, 1),
        transposeB: true,
        outliers: [nth(tensors, 2), nth(tensors, 3), nth(tensors, 4)],
      }),
  },
  blocks: {
    tensors: (slot, [rows, columns], { bits, blockSize, hasOffset }) => {
      const perBlock = { shape: [rows, columns / blockSize], dtype: 'float32' } as const;
      return [
        bits === 4
          ? { name: `${slot}.nibbles`, shape: [rows, columns / 2], dtype: 'uint8' }
          : { name: `${slot}.levels`, shape: [rows, columns], dtype: 'int8' },
        { name: `${slot}.scales`, ...perBlock },
        ...(hasOffset ? [{ name: `${slot}.offsets`, ...perBlock }] : []),
      ];
    },
    times: timesBlocks,
  },
};

const rulesOf = <F extends WeightForm>(form: F): FormRules<F> =>
  forms[form.kind] as unknown as FormRules<F>;

/** The tensors that hold a matrix of this shape. */
export const formTensors = (
  slot: string,
  form: WeightForm,
  shape: MatrixShape,
): readonly FormTensor[] => rulesOf(form).tensors(slot, shape, form);

/** A plain matrix, which may be trained. */
export const float32Matrix = (weight: Value): Matrix => ({
  outputs: weight.shape[0] ?? 0,
  times: (x) => forms.float32.times(x, [weight], { kind: 'float32' }),
});

/** A matrix in a graph, and the graph's inputs that feed it. */
export interface MatrixInputs extends Matrix {
  readonly inputs: readonly Node<'input'>[];
}

/** Inputs of one graph by name: matrices of one site share some. */
export type InputsByName = Map<string, Node<'input'>>;

export const matrixInputs = (
  slot: string,
  { form, shape, known }: { form: WeightForm; shape: MatrixShape; known: InputsByName },
): MatrixInputs => {
  const inputs = formTensors(slot, form, shape).map((tensor) => {
    const value = known.get(tensor.name) ?? input(tensor.name, tensor.shape, tensor.dtype);
    known.set(tensor.name, value);
    return value;
  });
  return {
    inputs,
    outputs: shape[0],
    times: (x) => rulesOf(form).times(x, inputs, form),
  };
};
