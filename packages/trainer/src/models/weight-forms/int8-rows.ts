// 8-bit weights with one scale a row, which is an output channel: symmetric, -127 to 127, nearest, halves
// away from zero. Dettmers et al. 2022 (arXiv:2208.07339, vector-wise quantisation) without its outliers.

export interface Int8Rows {
  /** [rows, columns] */
  readonly levels: Int8Array;
  /** [rows] */
  readonly scale: Float32Array;
}

const largest = 127;

/** values [rows, columns] ≈ scale[row] · levels[row, column]; a row of (next to) nothing has scale 1. */
export const quantiseRows = (
  values: Float32Array,
  columns: number,
  { levels, scale }: Int8Rows,
): void => {
  for (let row = 0, start = 0; start < values.length; row++, start += columns) {
    const end = start + columns;
    let extreme = 0;
    for (let i = start; i < end; i++) extreme = Math.max(extreme, Math.abs(values[i] ?? 0));
    const step = Math.fround(extreme / largest) || 1;
    const inverse = 1 / step;
    scale[row] = step;
    for (let i = start; i < end; i++) {
      const level = Math.round((values[i] ?? 0) * inverse);
      levels[i] = level > largest ? largest : level < -largest ? -largest : level;
    }
  }
};
