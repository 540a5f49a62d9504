// One vector out of the rows of a prompt's tokens. Sums in double precision.

export type Pooling = 'mean' | 'last' | 'cls';

export interface Pool {
  /** The next token's row [width]; it is read at once. */
  add(row: Float32Array): void;
  /** [width] */
  result(): Float32Array;
}

const pools: Record<Pooling, (width: number) => Pool> = {
  mean: (width) => {
    const sum = new Float64Array(width);
    let count = 0;
    return {
      add: (row) => {
        for (let i = 0; i < width; i++) sum[i] = (sum[i] as number) + (row[i] as number);
        count++;
      },
      result: () => Float32Array.from(sum, (value) => value / Math.max(1, count)),
    };
  },
  last: (width) => {
    const kept = new Float32Array(width);
    return { add: (row) => kept.set(row), result: () => kept };
  },
  cls: (width) => {
    const kept = new Float32Array(width);
    let empty = true;
    return {
      add: (row) => {
        if (empty) kept.set(row);
        empty = false;
      },
      result: () => kept,
    };
  },
};

export const createPool = (pooling: Pooling, width: number): Pool => pools[pooling](width);

/** Of length 1; a vector of zeros stays as it is. */
export function normalise(vector: Float32Array): Float32Array {
  const length = Math.hypot(...vector);
  return length === 0 ? vector : vector.map((value) => value / length);
}

/** float32, little-endian. */
export function encodeVector(vector: Float32Array): string {
  const bytes = Buffer.alloc(4 * vector.length);
  for (const [i, value] of vector.entries()) bytes.writeFloatLE(value, 4 * i);
  return bytes.toString('base64');
}
