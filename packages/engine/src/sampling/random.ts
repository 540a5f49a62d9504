// Seeded randomness for sampling: the same seed gives the same stream of numbers on every machine.
// sfc32 (Chris Doty-Humphrey, PractRand), its state filled by splitmix32 from the seed.

/** Numbers in [0, 1) with 53 random bits. */
export type Random = () => number;

/** `seed`: any number; its low 32 bits count. */
export function createRandom(seed: number): Random {
  let mixed = seed >>> 0;
  const splitmix = (): number => {
    mixed = (mixed + 0x9e37_79b9) | 0;
    let z = mixed ^ (mixed >>> 16);
    z = Math.imul(z, 0x21f0_aaad);
    z ^= z >>> 15;
    z = Math.imul(z, 0x735a_2d97);
    return z ^ (z >>> 15);
  };
  let a = splitmix();
  let b = splitmix();
  let c = splitmix();
  let counter = 1;
  const next = (): number => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + sum) | 0;
    return sum >>> 0;
  };
  for (let i = 0; i < 12; i++) next(); // The author's advice: let the seed spread.
  return () => (next() * 0x20_0000 + (next() >>> 11)) / 0x20_0000_0000_0000;
}
