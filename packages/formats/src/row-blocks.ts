// A matrix in blocks of rows: what is read, computed and written at a time where a matrix may be larger than
// memory likes. Knows no file.

/** 4 M float32 numbers are 16 MiB: large enough for disks, small beside any model. */
const blockElements = 4 * 2 ** 20;

export interface RowBlock {
  readonly from: number;
  readonly count: number;
}

/** Blocks of whole rows that cover a matrix [rows, width] in order; all begin at multiples of `align`. */
export function* rowBlocks(
  [rows = 0, width = 1]: readonly number[],
  { align = 1, elements = blockElements }: { align?: number; elements?: number } = {},
): Generator<RowBlock> {
  const step = Math.max(1, Math.floor(elements / (width * align))) * align;
  for (let from = 0; from < rows; from += step) yield { from, count: Math.min(step, rows - from) };
}
