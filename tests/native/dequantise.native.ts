// Numbers from and to ggml's blocks, bit for bit against the functions of the shipped ggml library.
import koffi from 'koffi';
import { describe, expect, test } from 'vitest';
import { dequantise, quantise, tensorTypes, type TensorType } from '@corral/formats';
import { findLibraryFiles } from '../../packages/engine/src/llama-cpp/library-files.ts';

const ggml = koffi.load(findLibraryFiles().ggmlBase, { global: true, lazy: true });
const blockSizeOf = ggml.func('int64_t ggml_blck_size(int)');
const typeSizeOf = ggml.func('size_t ggml_type_size(int)');

/** mulberry32 with a fixed seed. */
function makeRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Bits, where a NaN is any NaN: its payload depends on the compiler. */
const bitsOf = (values: Float32Array): Uint32Array =>
  Uint32Array.from(new Uint32Array(values.buffer, values.byteOffset, values.length), (bits) =>
    (bits & 0x7fffffff) > 0x7f800000 ? 0x7fc00000 : bits,
  );

const readers: Partial<Record<TensorType, string>> = {
  F16: 'ggml_fp16_to_fp32_row',
  BF16: 'ggml_bf16_to_fp32_row',
  Q4_0: 'dequantize_row_q4_0',
  Q4_1: 'dequantize_row_q4_1',
  Q5_0: 'dequantize_row_q5_0',
  Q5_1: 'dequantize_row_q5_1',
  Q8_0: 'dequantize_row_q8_0',
  Q4_K: 'dequantize_row_q4_K',
  Q5_K: 'dequantize_row_q5_K',
  Q6_K: 'dequantize_row_q6_K',
};

test('block and type sizes are those of ggml', () => {
  for (const { id, blockSize, blockBytes } of Object.values(tensorTypes))
    expect([id, Number(blockSizeOf(id)), Number(typeSizeOf(id))]).toEqual([
      id,
      blockSize,
      blockBytes,
    ]);
});

describe('dequantise', () => {
  test.each(Object.entries(readers))('%s equals %s', (name, symbol) => {
    const type = name as TensorType;
    const { blockSize, blockBytes } = tensorTypes[type];
    const random = makeRandom(7);
    // Random bytes reach every scale: subnormal, infinite and NaN float16 among them.
    const bytes = Uint8Array.from({ length: 4096 * blockBytes }, () => Math.floor(random() * 256));
    const native = ggml.func(`void ${symbol}(const void *, void *, int64_t)`);
    const expected = new Float32Array(4096 * blockSize);
    native(bytes, expected, expected.length);
    expect(bitsOf(dequantise(type, bytes))).toEqual(bitsOf(expected));
  });

  test('every float16 and every bfloat16 widens as in ggml', () => {
    const all = new Uint8Array(Uint16Array.from({ length: 65_536 }, (_, half) => half).buffer);
    for (const [type, symbol] of [
      ['F16', 'ggml_fp16_to_fp32_row'],
      ['BF16', 'ggml_bf16_to_fp32_row'],
    ] as const) {
      const expected = new Float32Array(65_536);
      ggml.func(`void ${symbol}(const void *, void *, int64_t)`)(all, expected, expected.length);
      expect(bitsOf(dequantise(type, all))).toEqual(bitsOf(expected));
    }
  });
});

/** Blocks of every temper: normal, tiny, huge, constant, zero, one outlier, ties at halves. */
function samples(): Float32Array {
  const random = makeRandom(11);
  const gauss = (): number =>
    Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const makers: ((index: number) => number)[] = [
    () => gauss() * 0.02,
    () => gauss() * 1e-6,
    () => gauss() * 1e4,
    () => 0.125,
    () => 0,
    (index) => (index === 17 ? -3 : gauss() * 0.01),
    (index) => (index - 16) / 2,
    (index) => (index % 2 === 0 ? 127 : index / 2 + 0.5),
  ];
  const blocks = makers.flatMap((make) =>
    Array.from({ length: 200 }, () => Array.from({ length: 32 }, (_, index) => make(index))),
  );
  return Float32Array.from(blocks.flat());
}

describe('quantise', () => {
  test.each([
    ['F16', 'ggml_fp32_to_fp16_row'],
    ['BF16', 'ggml_fp32_to_bf16_row_ref'],
    ['Q8_0', 'quantize_row_q8_0_ref'],
    ['Q4_0', 'quantize_row_q4_0_ref'],
  ] as const)('%s equals %s', (type, symbol) => {
    const values = samples();
    const { blockSize, blockBytes } = tensorTypes[type];
    const expected = new Uint8Array((values.length / blockSize) * blockBytes);
    ggml.func(`void ${symbol}(const void *, void *, int64_t)`)(values, expected, values.length);
    expect(quantise(type, values)).toEqual(expected);
  });

  test('float32 of every exponent narrows as in ggml', () => {
    const random = makeRandom(13);
    const bits = Uint32Array.from({ length: 200_000 }, () => Math.floor(random() * 2 ** 32));
    const finite = new Float32Array(bits.buffer).filter((value) => !Number.isNaN(value));
    for (const [type, symbol] of [
      ['F16', 'ggml_fp32_to_fp16_row'],
      ['BF16', 'ggml_fp32_to_bf16_row_ref'],
    ] as const) {
      const expected = new Uint8Array(finite.length * 2);
      ggml.func(`void ${symbol}(const void *, void *, int64_t)`)(finite, expected, finite.length);
      expect(quantise(type, finite)).toEqual(expected);
    }
  });
});

test('94 MB of Q4_1 are read in about a second', () => {
  const { blockBytes } = tensorTypes.Q4_1;
  const bytes = new Uint8Array(Math.floor(94_000_000 / blockBytes) * blockBytes);
  const started = performance.now();
  dequantise('Q4_1', bytes);
  // About 0.35 s on an idle core; the bound leaves room for a busy machine.
  expect(performance.now() - started).toBeLessThan(3000);
});
