// A frozen matrix in memory: its exact numbers, in which a model is judged, and the form that training
// multiplies with, which may be another. Rows are filled piece by piece as the file's tensors come, so
// that no more than one of them is ever held in float32.
import { elementCount } from '../../graph/value.ts';
import type { DType, Shape } from '../../graph/value.ts';
import type { HostArray, HostTensor, HostTensors } from '../../runtime/runtime.ts';
import { hostTensor } from '../../runtime/runtime.ts';
import { quantiseRows } from './int8-rows.ts';
import type { MatrixShape, WeightForm } from './weight-form.ts';
import { formTensors } from './weight-form.ts';

/** The form of evaluation and the form of training; often the same. */
export interface MatrixForms {
  readonly exact: WeightForm;
  readonly train: WeightForm;
}

export interface StoredForm {
  readonly form: WeightForm;
  readonly arrays: readonly HostArray[];
  /** As the graph's inputs are called. */
  readonly feeds: HostTensors;
}

export interface FrozenMatrix {
  readonly exact: StoredForm;
  readonly train: StoredForm;
  /** Of both forms. */
  readonly feeds: HostTensors;
}

const arrayTypes: Record<DType, (length: number) => HostArray> = {
  float32: (length) => new Float32Array(length),
  int64: (length) => new BigInt64Array(length),
  int8: (length) => new Int8Array(length),
  uint8: (length) => new Uint8Array(length),
};

const allocateForm = (slot: string, form: WeightForm, shape: MatrixShape): StoredForm => {
  const arrays: HostArray[] = [];
  const feeds: Record<string, HostTensor> = {};
  for (const { name, dtype, ...tensor } of formTensors(slot, form, shape)) {
    const array = arrayTypes[dtype](elementCount(tensor.shape));
    arrays.push(array);
    feeds[name] = hostTensor(array, tensor.shape);
  }
  return { form, arrays, feeds };
};

export const allocateMatrix = (
  slot: string,
  { exact: exactForm, train: trainForm }: MatrixForms,
  shape: MatrixShape,
): FrozenMatrix => {
  const exact = allocateForm(slot, exactForm, shape);
  const train = trainForm === exactForm ? exact : allocateForm(slot, trainForm, shape);
  return { exact, train, feeds: { ...exact.feeds, ...train.feeds } };
};

/** Rows [firstRow, firstRow + values.length / columns) of a matrix. */
export interface RowsToFill {
  readonly firstRow: number;
  readonly columns: number;
  readonly values: Float32Array;
}

/** Which columns of its input a matrix in int8 multiplies in float32, and their weights. */
export const setOutliers = ({ exact, train }: FrozenMatrix, columns: readonly number[]): void => {
  if (train.form.kind !== 'int8') return;
  const [, , keep, indices, outliers] = train.arrays as [
    Int8Array,
    Float32Array,
    Float32Array,
    BigInt64Array,
    Float32Array,
  ];
  const width = keep.length;
  keep.fill(1);
  indices.set(columns.map(BigInt));
  for (const column of columns) keep[column] = 0;
  const rows = outliers.length / columns.length;
  for (let row = 0; row < rows; row++) {
    const values = readRow(exact, row, width);
    for (const [i, column] of columns.entries())
      outliers[row * columns.length + i] = values[column] ?? 0;
  }
};

const readRow = (stored: StoredForm, row: number, columns: number): Float32Array =>
  arrayAt<Float32Array>(stored, 0).subarray(row * columns, (row + 1) * columns);

const arrayAt = <T extends HostArray>(stored: StoredForm, index: number): T =>
  stored.arrays[index] as T;

const fillers: {
  readonly [K in WeightForm['kind']]: (stored: StoredForm, rows: RowsToFill) => void;
} = {
  float32: (stored, { firstRow, columns, values }) =>
    arrayAt<Float32Array>(stored, 0).set(values, firstRow * columns),
  int8: (stored, { firstRow, columns, values }) => {
    const levels = arrayAt<Int8Array>(stored, 0).subarray(firstRow * columns);
    quantiseRows(values, columns, {
      levels,
      scale: arrayAt<Float32Array>(stored, 1).subarray(firstRow),
    });
  },
  blocks: () => {
    throw new TypeError('not yet');
  },
};

/** Fills rows of a form from float32. */
export const fillRows = (stored: StoredForm, rows: RowsToFill): void =>
  fillers[stored.form.kind](stored, rows);

/** Bytes of all its arrays, each counted once. */
export const matrixBytes = ({ exact, train }: FrozenMatrix): number =>
  [...new Set([...exact.arrays, ...train.arrays])].reduce(
    (sum, { byteLength }) => sum + byteLength,
    0,
  );

export const matrixShape = (shape: Shape): MatrixShape => [shape[0] ?? 0, shape[1] ?? 0];
