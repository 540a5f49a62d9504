// Counter-based random numbers: a number is a pure function of a key and its index, so any mask or
// initial weight can be made again, in any order, without state to save. Threefry 2x32 with 20 rounds
// (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), as in JAX.

export type Key = readonly [number, number];

const rotations = [13, 15, 26, 6, 17, 29, 16, 24] as const;
const parity = 0x1bd11bda;

/** Encrypts the counter under the key; both words unsigned 32-bit, written to `out`. */
export const threefry = (key: Key, counter: readonly [number, number], out: Uint32Array): void => {
  const [k0, k1] = key;
  const k2 = k0 ^ k1 ^ parity;
  const keys = [k0, k1, k2];
  let x0 = (counter[0] + k0) | 0;
  let x1 = (counter[1] + k1) | 0;
  for (let group = 1; group <= 5; group++) {
    for (let i = 0; i < 4; i++) {
      const turn = rotations[((group - 1) % 2) * 4 + i] ?? 0;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << turn) | (x1 >>> (32 - turn))) ^ x0;
    }
    x0 = (x0 + (keys[group % 3] ?? 0)) | 0;
    x1 = (x1 + (keys[(group + 1) % 3] ?? 0) + group) | 0;
  }
  out[0] = x0;
  out[1] = x1;
};

/** A key for a purpose: different words give unrelated keys. */
export const deriveKey = (key: Key, ...words: readonly [number, number]): Key => {
  const out = new Uint32Array(2);
  threefry(key, words, out);
  return [out[0] ?? 0, out[1] ?? 0];
};

/** Random words of `key`, two at a time from the counters (0, stream), (1, stream), ... */
const eachPair = (
  key: Key,
  { count, stream = 0 }: { readonly count: number; readonly stream?: number },
  take: (index: number, first: number, second: number) => void,
): void => {
  const out = new Uint32Array(2);
  for (let i = 0; i < count; i++) {
    threefry(key, [i, stream], out);
    take(i, out[0] ?? 0, out[1] ?? 0);
  }
};

/** Uniform in [-bound, bound), 24 bits each. */
export const fillUniform = (key: Key, out: Float32Array, bound: number): void => {
  const uniform = (word: number): number => bound * ((word >>> 8) * 2 ** -23 - 1);
  eachPair(key, { count: Math.ceil(out.length / 2) }, (i, first, second) => {
    out[2 * i] = uniform(first);
    out[2 * i + 1] = uniform(second);
  });
};

/** Normal with mean 0 (Box & Muller 1958). */
export const fillNormal = (key: Key, out: Float32Array, deviation: number): void => {
  eachPair(key, { count: Math.ceil(out.length / 2) }, (i, first, second) => {
    const radius = deviation * Math.sqrt(-2 * Math.log(((first >>> 8) + 1) * 2 ** -24));
    const angle = 2 * Math.PI * (second >>> 8) * 2 ** -24;
    out[2 * i] = radius * Math.cos(angle);
    out[2 * i + 1] = radius * Math.sin(angle);
  });
};

/**
 * 0 with the given probability, else 1 / (1 - probability). Sixteen bits decide one element: 50 million
 * elements a step are needed for 135 M parameters, and a 65536th is close enough for a probability.
 */
export const fillDropout = (
  key: Key,
  out: Float32Array,
  { probability, stream }: { readonly probability: number; readonly stream: number },
): void => {
  const threshold = Math.round(probability * 65536);
  const kept = 65536 / (65536 - threshold);
  const element = (bits: number): number => (bits < threshold ? 0 : kept);
  eachPair(key, { count: Math.ceil(out.length / 4), stream }, (i, first, second) => {
    out[4 * i] = element(first & 0xffff);
    out[4 * i + 1] = element(first >>> 16);
    out[4 * i + 2] = element(second & 0xffff);
    out[4 * i + 3] = element(second >>> 16);
  });
};
