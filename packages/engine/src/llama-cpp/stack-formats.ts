// How the numbers of a stack lie in memory, one entry a format: bytes of a row of A, places of columns of B,
// and the file type llama.cpp is told. Pure. Source: block_q8_0 of ggml-common.h (a float16 scale, 32 bytes).
import type { TensorType } from '@corral/formats';
import type { StackFormat } from './stack-types.ts';

/** Columns [column, column + count) of B, which lie together at `offset` bytes in each row. */
interface ColumnRun {
  readonly column: number;
  readonly count: number;
  readonly offset: number;
}

export interface StackFormatLayout {
  readonly type: TensorType;
  /** Bytes of a row of `width` numbers. */
  readonly rowBytes: (width: number) => number;
  /** Bytes of a number of B as `PackedPart.b` holds it. */
  readonly elementBytes: number;
  readonly columnRuns: (from: number, to: number) => readonly ColumnRun[];
  /** A row of B without effect where that is not all zeros. */
  readonly emptyRow?: (ranks: number) => Uint8Array;
}

const blockWidth = 32;
const scaleBytes = 2;
const blockBytes = scaleBytes + blockWidth;

/** Bits of the float16 nearest to 1/127, and its value: the scale of every block of an int8 B. */
const unitScaleBits = 0x2008;
export const unitScale = 2 ** -7 * (1 + 8 / 1024);

function int8Runs(from: number, to: number): ColumnRun[] {
  const runs: ColumnRun[] = [];
  for (let column = from; column < to;) {
    const inBlock = column % blockWidth;
    const count = Math.min(to - column, blockWidth - inBlock);
    const offset = Math.floor(column / blockWidth) * blockBytes + scaleBytes + inBlock;
    runs.push({ column, count, offset });
    column += count;
  }
  return runs;
}

function int8EmptyRow(ranks: number): Uint8Array {
  const row = new Uint8Array((ranks / blockWidth) * blockBytes);
  const view = new DataView(row.buffer);
  for (let at = 0; at < row.byteLength; at += blockBytes) view.setUint16(at, unitScaleBits, true);
  return row;
}

const floats = (type: TensorType, elementBytes: number): StackFormatLayout => ({
  type,
  rowBytes: (width) => width * elementBytes,
  elementBytes,
  columnRuns: (from, to) => [{ column: from, count: to - from, offset: from * elementBytes }],
});

export const stackFormats: Record<StackFormat, StackFormatLayout> = {
  int8: {
    type: 'Q8_0',
    rowBytes: (width) => (width / blockWidth) * blockBytes,
    elementBytes: 1,
    columnRuns: int8Runs,
    emptyRow: int8EmptyRow,
  },
  float16: floats('F16', 2),
  float32: floats('F32', 4),
};
