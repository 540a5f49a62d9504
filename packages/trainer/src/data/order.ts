// The order of examples as a pure function of (seed, epoch, position): nothing to save in a checkpoint
// but numbers. Counter-based: each draw is a hash of its coordinates, no generator has a state.

/** The finaliser of MurmurHash3: every input bit reaches every output bit. */
function mix(value: number): number {
  let hash = value >>> 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** A number in [0, 2^32) from a seed and any coordinates. */
export function draw(seed: number, ...coordinates: readonly number[]): number {
  return coordinates.reduce((hash, part) => mix(hash ^ mix(part + 0x9e3779b9)), mix(seed + 1));
}

/** A permutation of 0..count-1 for one epoch (Fisher–Yates with counted draws). */
export function shuffledOrder(count: number, seed: number, epoch: number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, index) => index);
  for (let last = count - 1; last > 0; last -= 1) {
    // Scaled, not modulo: the bias is below count / 2^32.
    const other = Math.floor((draw(seed, epoch, last) / 0x1_0000_0000) * (last + 1));
    const kept = order[last] ?? 0;
    order[last] = order[other] ?? 0;
    order[other] = kept;
  }
  return order;
}

/** Hash of token ids in [0, 1): decides what is held out, whatever the order of the file. */
export function holdOutHash(tokens: Int32Array, seed: number): number {
  let hash = mix(seed ^ 0x5bd1e995);
  for (const token of tokens) hash = mix(hash ^ mix(token + 0x9e3779b9));
  return hash / 0x1_0000_0000;
}
