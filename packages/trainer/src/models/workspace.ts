// Named scratch arrays that are made once and used for every batch, so that memory stays where the first
// batches put it instead of where the garbage collector lets it go.

export interface Workspace {
  /** `length` elements under this name; whatever the last user left in them. */
  floats(name: string, length: number): Float32Array;
}

export const createWorkspace = (): Workspace => {
  const arrays = new Map<string, Float32Array>();
  return {
    floats(name, length) {
      const known = arrays.get(name);
      if (known && known.length >= length) return known.subarray(0, length);
      const array = new Float32Array(length);
      arrays.set(name, array);
      return array;
    },
  };
};

/** sum += part, element by element. */
export const accumulate = (sum: Float32Array, part: Float32Array): void => {
  for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] ?? 0) + (part[i] ?? 0);
};
