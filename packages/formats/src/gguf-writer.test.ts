// What is written is read back equal, for every kind of value and many shapes.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { memorySink } from './byte-sink.ts';
import { memorySource } from './byte-source.ts';
import { gguf, type GgufArray, type GgufValue } from './gguf-metadata.ts';
import { readGguf, type GgufFile } from './gguf-reader.ts';
import { writeGguf, type GgufTensorToWrite, type GgufToWrite } from './gguf-writer.ts';
import { tensorTypes, type TensorType } from './tensor-types.ts';

async function roundTrip(model: GgufToWrite): Promise<GgufFile> {
  const sink = memorySink();
  await writeGguf(sink, model);
  return readGguf(memorySource(sink.bytes()));
}

const text = fc.string({ unit: 'grapheme', maxLength: 20 });
const float32 = fc.float({ noNaN: true });
const item: fc.Arbitrary<GgufArray> = fc.oneof(
  fc.array(text).map((items): GgufArray => ({ itemType: 'string', items })),
  fc.array(fc.boolean()).map((items): GgufArray => ({ itemType: 'bool', items })),
  fc.int8Array().map((items): GgufArray => ({ itemType: 'int8', items })),
  fc.uint16Array().map((items): GgufArray => ({ itemType: 'uint16', items })),
  fc.int32Array().map((items): GgufArray => ({ itemType: 'int32', items })),
  fc.float32Array({ noNaN: true }).map((items): GgufArray => ({ itemType: 'float32', items })),
  fc.float64Array({ noNaN: true }).map((items): GgufArray => ({ itemType: 'float64', items })),
  fc.bigUint64Array().map((items): GgufArray => ({ itemType: 'uint64', items })),
);
const nested = fc
  .array(item, { maxLength: 4 })
  .map((items): GgufArray => ({ itemType: 'array', items }));
const value: fc.Arbitrary<GgufValue> = fc.oneof(
  text.map(gguf.string),
  fc.boolean().map(gguf.bool),
  fc.nat().map(gguf.uint32),
  float32.map(gguf.float32),
  fc.integer({ min: -128, max: 127 }).map((n): GgufValue => ({ type: 'int8', value: n })),
  fc.integer({ min: 0, max: 65_535 }).map((n): GgufValue => ({ type: 'uint16', value: n })),
  fc.double({ noNaN: true }).map((n): GgufValue => ({ type: 'float64', value: n })),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((n): GgufValue => ({ type: 'uint64', value: n })),
  fc
    .bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
    .map((n): GgufValue => ({ type: 'int64', value: n })),
  fc.oneof(item, nested).map((array): GgufValue => ({ type: 'array', value: array })),
);
const metadata = fc
  .array(fc.tuple(fc.string({ minLength: 1, maxLength: 30 }), value), { maxLength: 12 })
  .map((entries) => new Map(entries.filter(([key]) => key !== 'general.alignment')));

const tensor = (index: number): fc.Arbitrary<GgufTensorToWrite> =>
  fc
    .tuple(
      fc.constantFrom(...(Object.keys(tensorTypes) as TensorType[])),
      fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 3 }),
      fc.integer({ min: 1, max: 2 }),
      fc.nat({ max: 255 }),
    )
    .map(([type, outer, blocks, fill]) => {
      const { blockSize, blockBytes } = tensorTypes[type];
      const rows = outer.reduce((product, dim) => product * dim, 1);
      const data = new Uint8Array(rows * blocks * blockBytes).fill(fill);
      return { name: `tensor.${index}`, type, shape: [...outer, blocks * blockSize], data };
    });
const tensors = fc
  .nat({ max: 5 })
  .chain((count) => fc.tuple(...Array.from({ length: count }, (_, index) => tensor(index))));

describe('a written GGUF', () => {
  test('gives back its metadata and tensors', async () => {
    await fc.assert(
      fc.asyncProperty(metadata, tensors, async (entries, written) => {
        const file = await roundTrip({ metadata: entries, tensors: written });
        expect([...file.metadata]).toEqual([...entries]);
        expect([...file.tensors.keys()]).toEqual(written.map(({ name }) => name));
        for (const { name, type, shape, data } of written) {
          expect(file.tensors.get(name)).toMatchObject({ type, shape });
          expect(await file.readTensor(name)).toEqual(data);
        }
      }),
      { numRuns: 150 },
    );
  });

  test('keeps an alignment of its metadata', async () => {
    const file = await roundTrip({
      metadata: new Map([['general.alignment', gguf.uint32(256)]]),
      tensors: ['a', 'b'].map((name) => ({
        name,
        type: 'F32',
        shape: [3],
        data: new Uint8Array(12),
      })),
    });
    expect(file.alignment).toBe(256);
    expect([...file.tensors.values()].map(({ offset }) => offset % 256)).toEqual([0, 0]);
  });

  test('asks for the data of a tensor only when its turn comes', async () => {
    const events: string[] = [];
    const lazy = (name: string): GgufTensorToWrite => ({
      name,
      type: 'F32',
      shape: [1],
      data: () => {
        events.push(name);
        return Promise.resolve(new Uint8Array(4));
      },
    });
    const sink = {
      write: (bytes: Uint8Array) => {
        if (bytes.byteLength === 4) events.push('written');
        return Promise.resolve();
      },
    };
    await writeGguf(sink, { metadata: new Map(), tensors: [lazy('a'), lazy('b')] });
    expect(events).toEqual(['a', 'written', 'b', 'written']);
  });

  test.each([
    ['a name of 64 bytes', { name: 'n'.repeat(64), shape: [4], bytes: 16 }],
    ['no dimension', { name: 'a', shape: [], bytes: 4 }],
    ['data of another length', { name: 'a', shape: [4], bytes: 15 }],
  ])('cannot have %s', async (_, { name, shape, bytes }) => {
    const tensorToWrite = { name, type: 'F32', shape, data: new Uint8Array(bytes) } as const;
    const writing = writeGguf(memorySink(), { metadata: new Map(), tensors: [tensorToWrite] });
    await expect(writing).rejects.toBeInstanceOf(RangeError);
  });
});
