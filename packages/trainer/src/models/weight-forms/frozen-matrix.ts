// A frozen matrix in memory: its exact numbers, in which a model is judged, and the form that training
// multiplies with, which may be another. Rows are filled piece by piece as the file's tensors come, so
// that no more than one of them is ever held in float32.
import { elementCount } from '../../graph/value.ts';
import type { DType, Shape } from '../../graph/value.ts';
import type { HostArray, HostTensor, HostTensors } from '../../runtime/runtime.ts';
import { hostTensor } from '../../runtime/runtime.ts';
import type { BlockArrays, BlockSource } from './blocks.ts';
import { blocksOfFloats, fillBlocks, readBlockRow } from './blocks.ts';
import { quantiseRows } from './int8-rows.ts';
import type { BlockForm, MatrixShape, WeightForm } from './weight-form.ts';
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

/** A tensor of the file: in its own blocks where it has them and where they are wanted, and as numbers. */
export interface PartSource {
  /** Null where the file has no small blocks. */
  readonly blocks: BlockSource | null;
  readonly floats: () => Float32Array;
}

/** Where the rows of a part lie. */
export interface PartPlace {
  readonly firstRow: number;
  readonly rows: number;
  readonly columns: number;
}

const arrayAt = <T extends HostArray>(stored: StoredForm, index: number): T =>
  stored.arrays[index] as T;

const blockArrays = (
  stored: StoredForm,
  { firstRow, columns }: Omit<PartPlace, 'rows'>,
  { bits, blockSize }: BlockForm,
): BlockArrays => {
  const firstBlock = (firstRow * columns) / blockSize;
  const perByte = bits === 4 ? 2 : 1;
  return {
    levels: arrayAt<Uint8Array>(stored, 0).subarray((firstRow * columns) / perByte),
    scales: arrayAt<Float32Array>(stored, 1).subarray(firstBlock),
    offsets: (stored.arrays[2] as Float32Array | undefined)?.subarray(firstBlock) ?? noOffsets,
  };
};
const noOffsets = new Float32Array();

const fillForm = (stored: StoredForm, place: PartPlace, source: PartSource): void => {
  const { form } = stored;
  const { firstRow, columns } = place;
  switch (form.kind) {
    case 'float32':
      arrayAt<Float32Array>(stored, 0).set(source.floats(), firstRow * columns);
      return;
    case 'int8': {
      const levels = arrayAt<Int8Array>(stored, 0).subarray(firstRow * columns);
      const scale = arrayAt<Float32Array>(stored, 1).subarray(firstRow);
      quantiseRows(source.floats(), columns, { levels, scale });
      return;
    }
    case 'blocks': {
      const blocks = source.blocks ?? blocksOfFloats(source.floats(), form);
      fillBlocks(blocks, blockArrays(stored, place, form), { form, columns });
      return;
    }
    default:
      form satisfies never;
  }
};

/** Fills the rows of one part in both forms; training never sees other numbers than evaluation does. */
export const fillPart = (
  { exact, train }: FrozenMatrix,
  place: PartPlace,
  source: PartSource,
): void => {
  fillForm(exact, place, source);
  if (train === exact) return;
  const floats = (): Float32Array => readRows(exact, place);
  fillForm(train, place, exact.form.kind === 'blocks' ? { blocks: null, floats } : source);
};

/** Row `row` of a matrix [N, K] in numbers, exactly as a graph computes with them. */
export const readRow = (
  { form, arrays }: StoredForm,
  row: number,
  columns: number,
): Float32Array => {
  const stored = { form, arrays, feeds: {} };
  if (form.kind === 'float32') {
    return arrayAt<Float32Array>(stored, 0).subarray(row * columns, (row + 1) * columns);
  }
  if (form.kind === 'blocks') {
    return readBlockRow(blockArrays(stored, { firstRow: row, columns }, form), 0, {
      form,
      columns,
    });
  }
  throw new TypeError(`the rows of a matrix in ${form.kind} are not read back`);
};

const readRows = (stored: StoredForm, { firstRow, rows, columns }: PartPlace): Float32Array => {
  const values = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    values.set(readRow(stored, firstRow + row, columns), row * columns);
  }
  return values;
};

/** Which columns of its input a matrix in int8 multiplies in float32, and their weights. */
export const setOutliers = ({ exact, train }: FrozenMatrix, columns: readonly number[]): void => {
  if (train.form.kind !== 'int8') return;
  const keep = arrayAt<Float32Array>(train, 2).fill(1);
  const outliers = arrayAt<Float32Array>(train, 4);
  arrayAt<BigInt64Array>(train, 3).set(columns.map(BigInt));
  for (const column of columns) keep[column] = 0;
  const rows = outliers.length / columns.length;
  for (let row = 0; row < rows; row++) {
    const values = readRow(exact, row, keep.length);
    for (const [i, column] of columns.entries())
      outliers[row * columns.length + i] = values[column] ?? 0;
  }
};

/** Bytes of all its arrays, each counted once. */
export const matrixBytes = ({ exact, train }: FrozenMatrix): number =>
  [...new Set([...exact.arrays, ...train.arrays])].reduce(
    (sum, { byteLength }) => sum + byteLength,
    0,
  );

export const matrixShape = (shape: Shape): MatrixShape => [shape[0] ?? 0, shape[1] ?? 0];
