// Counter-based random numbers: a number is a pure function of a key and its index, so any mask or
// initial weight can be made again, in any order, without state to save. Threefry 2x32 with 20 rounds
// (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), as in JAX.

export type Key = readonly [number, number];

const parity = 0x1bd11bda;
const rotate = (x: number, bits: number): number => (x << bits) | (x >>> (32 - bits));

/**
 * Encrypts the counter under the key; two 32-bit words, written to `out`. The rounds are
 * written out: as a loop over a table they take five times as long, and masks need millions.
 */
export const threefry = (key: Key, counter: readonly [number, number], out: Int32Array): void => {
  const [k0, k1] = key;
  const k2 = k0 ^ k1 ^ parity;
  let x0 = (counter[0] + k0) | 0;
  let x1 = (counter[1] + k1) | 0;
  x0 = (x0 + x1) | 0;
  x1 = rotate(x1, 13) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = rotate(x1, 15) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = rotate(x1, 26) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = rotate(x1, 6) ^ x0;
  x0 = (x0 + k1) | 0;
  x1 = (x1 + k2 + 1) | 0;
  x0 = (x0 + x1) | 0;
  x1 = rotate(x1, 17) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = rotate(x1, 29) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = rotate(x1, 16) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = rotate(x1, 24) ^ x0;
  x0 = (x0 + k2) | 0;
  x1 = (x1 + k0 + 2) | 0;
  x0 = (x0 + x1) | 0;
  x1 = rotate(x1, 13) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = rotate(x1, 15) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = rotate(x1, 26) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = rotate(x1, 6) ^ x0;
  x0 = (x0 + k0) | 0;
  x1 = (x1 + k1 + 3) | 0;
  x0 = (x0 + x1) | 0;
  x1 = rotate(x1, 17) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = rotate(x1, 29) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = rotate(x1, 16) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = rotate(x1, 24) ^ x0;
  x0 = (x0 + k1) | 0;
  x1 = (x1 + k2 + 4) | 0;
  x0 = (x0 + x1) | 0;
  x1 = rotate(x1, 13) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = rotate(x1, 15) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = rotate(x1, 26) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = rotate(x1, 6) ^ x0;
  x0 = (x0 + k2) | 0;
  x1 = (x1 + k0 + 5) | 0;
  out[0] = x0;
  out[1] = x1;
};

/** A key for a purpose: different words give unrelated keys. */
export const deriveKey = (key: Key, ...words: readonly [number, number]): Key => {
  const out = new Int32Array(2);
  threefry(key, words, out);
  return [out[0] ?? 0, out[1] ?? 0];
};

/** Random words of `key`, two at a time from the counters (0, 0), (1, 0), ... */
const eachPair = (
  key: Key,
  { count }: { readonly count: number },
  take: (index: number, first: number, second: number) => void,
): void => {
  const out = new Int32Array(2);
  const counter: [number, number] = [0, 0];
  for (let i = 0; i < count; i++) {
    counter[0] = i;
    threefry(key, counter, out);
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

/** The bits of a float32. */
const floatBits = (value: number): number => new Int32Array(Float32Array.of(value).buffer)[0] ?? 0;

/**
 * 0 with the given probability, else 1 / (1 - probability). Sixteen bits decide one element: 50 million
 * elements a step are needed for 135 M parameters, and a 65536th is close enough for a probability. For
 * the same reason it is not Threefry that is asked for every element but a 32-bit mixer under a key made by
 * it (two rounds of multiply and shift, constants of C. Wellons' lowbias32): a third of the time.
 */
export const fillDropout = (
  key: Key,
  out: Float32Array,
  { probability, stream }: { readonly probability: number; readonly stream: number },
): void => {
  const threshold = Math.round(probability * 65536);
  const kept = floatBits(65536 / (65536 - threshold));
  const bits = new Int32Array(out.buffer, out.byteOffset, out.length);
  const [k0, k1] = deriveKey(key, stream, 0);
  let counter = k0;
  for (let i = 0; i < bits.length; i += 2) {
    counter = (counter + 0x9e3779b9) | 0;
    let x = Math.imul(counter ^ (counter >>> 16), 0x7feb352d) ^ k1;
    x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
    x ^= x >>> 16;
    // The sign of the difference as a mask instead of a comparison: a branch would be mispredicted.
    bits[i] = kept & ~(((x & 0xffff) - threshold) >> 31);
    if (i + 1 < bits.length) bits[i + 1] = kept & ~(((x >>> 16) - threshold) >> 31);
  }
};
