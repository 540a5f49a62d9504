// In which decodes the streams of a step are computed: all at once, in parts, one by one, or with idle
// sequences beside them that fill a tile of rows, whatever costs least (row-costs.ts). Where sequences have a
// cache each, llama.cpp computes those with neighbouring numbers at once, so parts are neighbours, too. Pure.
import { mostKnownRows, type RowCosts } from './row-costs.ts';

/** A sequence that can be in the step. */
export interface ShapeRow {
  readonly sequence: number;
  /** A stream's: it must be in it. The others are idle. */
  readonly needed: boolean;
}

export interface ShapeOptions {
  readonly costs: Pick<RowCosts, 'atBest'>;
  /** Only sequences with neighbouring numbers are computed at once. */
  readonly apart: boolean;
  /** Rows of each sequence: its token, and guesses behind it. */
  readonly width: number;
  /** Rows of one decode. */
  readonly most: number;
}

/** Kernels take rows by four. */
const tile = 4;

/**
 * The parts of least cost that hold every needed row; `rows` in order of their sequences. Of all parts looked
 * at are those of one row, of whole tiles, and whole stretches of streams with the gaps between them.
 */
export function shapeStep(
  rows: readonly ShapeRow[],
  { costs, apart, width, most }: ShapeOptions,
): (readonly ShapeRow[])[] {
  // Before anything is known.
  if (costs.atBest(1) === 0) return [rows.filter(({ needed }) => needed)];
  const end = rows.length;
  const together = (i: number): boolean =>
    i > 0 && i < end && (!apart || rows[i]?.sequence === (rows[i - 1]?.sequence ?? 0) + 1);
  /** A stretch may begin, or have ended, before row `i`. */
  const isBorder = (i: number, side: number): boolean =>
    !together(i) || rows[side]?.needed !== true;
  const longest = Math.max(1, Math.min(mostKnownRows, Math.floor(most / width)));
  /** Least cost of all rows from `i` on, and how many of them are decoded first; 0: row `i` is left out. */
  const cost = new Float64Array(end + 1);
  const first = new Int32Array(end + 1);
  for (let i = end - 1; i >= 0; i--) {
    const { needed } = rows[i] as ShapeRow;
    cost[i] = needed ? Infinity : (cost[i + 1] as number);
    for (let size = 1; size <= longest && i + size <= end; size++) {
      if (size > 1 && !together(i + size - 1)) break;
      const stretch =
        needed &&
        rows[i + size - 1]?.needed === true &&
        isBorder(i, i - 1) &&
        isBorder(i + size, i + size);
      if (size !== 1 && size % tile !== 0 && !stretch && size !== longest) continue;
      const here = costs.atBest(size * width) + (cost[i + size] as number);
      if (here <= (cost[i] as number)) [cost[i], first[i]] = [here, size];
    }
  }
  const parts: (readonly ShapeRow[])[] = [];
  for (let i = 0; i < end;) {
    const size = first[i] as number;
    if (size > 0) parts.push(rows.slice(i, i + size));
    i += Math.max(1, size);
  }
  return parts;
}
