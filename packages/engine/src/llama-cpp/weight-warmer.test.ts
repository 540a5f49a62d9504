// Which memory is read ahead: a base's matrices, and only where they lie in this process as their type says.
import koffi from 'koffi';
import { beforeEach, expect, it, vi } from 'vitest';
import type { NativeTensors } from './native-tensors.ts';
import { createWeightWarmer } from './weight-warmer.ts';

const llama = vi.hoisted(() => ({
  tensorName: () => 'blk.0.ffn_up.weight',
  tensorBytes: () => 400_000,
  holdsPlain: vi.fn((_buffer: bigint, _data: bigint, _size: number) => true),
}));
vi.mock('./functions.ts', () => ({ openLlama: () => llama }));

const memory = new Uint8Array(400_000);
const [product, weights] = [1000, 2000];
/** Of a product of 100 rows; what is said of an address that may not be read. */
const tensors = (data: number): NativeTensors => ({
  firstSource: () => weights,
  shape: (tensor) =>
    tensor === product ? { columns: 100, rows: 4 } : { columns: 1000, rows: 100 },
  type: () => 0,
  buffer: () => 3000,
  data: () => data,
  floats: () => null,
});
beforeEach(() => llama.holdsPlain.mockClear());

it('reads weights ahead, and asks for the computation when the caches are full of them', () => {
  const warmer = createWeightWarmer(tensors(Number(koffi.address(memory))));
  warmer.begin(4);
  expect(warmer.ask(product)).toBe(true);
  expect(llama.holdsPlain).toHaveBeenCalledWith(3000n, koffi.address(memory), 400_000);
});

it('never reads what lies on a device, is laid out anew, or is longer than its buffer', () => {
  llama.holdsPlain.mockReturnValueOnce(false);
  // To read there would end the process.
  const warmer = createWeightWarmer(tensors(64));
  warmer.begin(4);
  for (let i = 0; i < 3; i++) expect(warmer.ask(product)).toBe(false);
  expect(llama.holdsPlain).toHaveBeenCalledOnce();
});

it('reads nothing ahead of a single row', () => {
  const warmer = createWeightWarmer(tensors(64));
  warmer.begin(1);
  expect(warmer.ask(product)).toBe(false);
});
