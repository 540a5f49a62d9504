// Random quantised tensors of every type that can be kept in blocks, with scales as weights have them.
import { quantise, tensorTypes, type LeveledType } from '@corral/formats';
import { noise } from '../tiny-model.fake.ts';

/** Where a block has float16 numbers, and their size for weights of about 0.1. */
const halves: Readonly<Record<LeveledType, readonly (readonly [at: number, value: number])[]>> = {
  Q4_0: [[0, 0.02]],
  Q4_1: [
    [0, 0.02],
    [2, -0.15],
  ],
  Q5_0: [[0, 0.01]],
  Q5_1: [
    [0, 0.01],
    [2, -0.15],
  ],
  Q8_0: [[0, 0.0013]],
  Q4_K: [
    [0, 0.0006],
    [2, 0.005],
  ],
  Q5_K: [
    [0, 0.0003],
    [2, 0.005],
  ],
  Q6_K: [[208, 0.00005]],
};

/** Random numbers of their own are drawn up to here; beyond, they repeat. */
const period = 2 ** 13;

/** Whole blocks of random levels; scales differ by up to a factor of three, times `size`. */
export const randomBlocks = (
  type: LeveledType,
  count: number,
  { seed, size = 1 }: { readonly seed: string; readonly size?: number },
): Uint8Array<ArrayBuffer> => {
  const { blockSize, blockBytes } = tensorTypes[type];
  const blocks = count / blockSize;
  const drawn = Math.min(blocks, period);
  const bytes = new Uint8Array(blocks * blockBytes);
  bytes.set(Uint8Array.from(noise(seed, drawn * blockBytes), (x) => (x + 1) * 128));
  const factors = noise(`${seed} scales`, drawn);
  for (let block = 0; block < drawn; block++) {
    for (const [at, value] of halves[type]) {
      const scale = size * value * (1 + 0.5 * (factors[block] ?? 0));
      bytes.set(quantise('F16', Float32Array.of(scale)), block * blockBytes + at);
    }
  }
  for (let filled = drawn * blockBytes; filled < bytes.length; filled *= 2) {
    bytes.copyWithin(filled, 0, filled);
  }
  return bytes;
};
