// What is written is read back equal; every shape of a hostile safetensors file is refused by name.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { memorySink } from './byte-sink.ts';
import { memorySource } from './byte-source.ts';
import { FormatError } from './format-error.ts';
import { RawFile, rawSafetensors } from './raw-file.fake.ts';
import { safetensorsDtypes, type SafetensorsDtype } from './safetensors-dtypes.ts';
import { openSafetensors } from './safetensors-folder.ts';
import { readSafetensors } from './safetensors-reader.ts';
import { writeSafetensors, type SafetensorsTensorToWrite } from './safetensors-writer.ts';

const read = (bytes: Uint8Array): ReturnType<typeof readSafetensors> =>
  readSafetensors(memorySource(bytes, 'model.safetensors'));

const entry = (shape: unknown, offsets: unknown, dtype: unknown = 'F32'): string =>
  JSON.stringify({ dtype, shape, data_offsets: offsets });

const hostile: Record<string, { bytes: Uint8Array; says: RegExp }> = {
  'seven bytes': { bytes: new Uint8Array(7), says: /7 bytes, too few/ },
  'a header of 2^63 bytes': {
    bytes: new RawFile()
      .uint64(2n ** 63n)
      .zeros(64)
      .bytes(),
    says: /header has 9223372036854775808 bytes/,
  },
  'a header of 100,000,001 bytes': {
    bytes: new RawFile().uint64(100_000_001).zeros(64).bytes(),
    says: /limit is 100000000/,
  },
  'a header past the end': {
    bytes: new RawFile().uint64(65).zeros(64).bytes(),
    says: /header ends at byte 73/,
  },
  'a header that begins with a space': { bytes: rawSafetensors(' {}', 0), says: /begin with "{"/ },
  'a header that is no JSON': { bytes: rawSafetensors('{"a"', 0), says: /is not JSON/ },
  'a header that is not UTF-8': {
    bytes: new RawFile().uint64(4).text('{"').uint8(0xff).text('}').bytes(),
    says: /not UTF-8/,
  },
  'a header of deep nesting': {
    bytes: rawSafetensors(`{"a":${'['.repeat(70)}${']'.repeat(70)}}`, 0),
    says: /nests deeper/,
  },
  'a tensor twice': {
    bytes: rawSafetensors(`{"a":${entry([1], [0, 4])},"a":${entry([1], [4, 8])}}`, 8),
    says: /key "a" twice/,
  },
  'a tensor twice, once escaped': {
    bytes: rawSafetensors(`{"a":${entry([1], [0, 4])},"\\u0061":${entry([1], [4, 8])}}`, 8),
    says: /key "a" twice/,
  },
  'an entry that is a list': {
    bytes: rawSafetensors('{"a":[]}', 0),
    says: /entry "a" is no object/,
  },
  'an unknown dtype': {
    bytes: rawSafetensors(`{"a":${entry([1], [0, 4], 'F31')}}`, 4),
    says: /F31/,
  },
  'a dtype of the prototype': {
    bytes: rawSafetensors(`{"a":${entry([1], [0, 4], 'toString')}}`, 4),
    says: /toString/,
  },
  'a negative dimension': {
    bytes: rawSafetensors(`{"a":${entry([-1], [0, 4])}}`, 4),
    says: /shape/,
  },
  'a broken dimension': {
    bytes: rawSafetensors(`{"a":${entry([1.5], [0, 4])}}`, 4),
    says: /shape/,
  },
  'nine dimensions': {
    bytes: rawSafetensors(`{"a":${entry([1, 1, 1, 1, 1, 1, 1, 1, 1], [0, 4])}}`, 4),
    says: /shape/,
  },
  'dimensions whose product overflows': {
    bytes: rawSafetensors(`{"a":${entry([2 ** 40, 2 ** 40], [0, 4])}}`, 4),
    says: /needs 4835703278458516698824704 bytes/,
  },
  'fewer bytes than the shape': {
    bytes: rawSafetensors(`{"a":${entry([2], [0, 4])}}`, 4),
    says: /needs 8 bytes, but has 4/,
  },
  'offsets that fall': {
    bytes: rawSafetensors(`{"a":${entry([1], [4, 0])}}`, 4),
    says: /data_offsets/,
  },
  'one offset': { bytes: rawSafetensors(`{"a":${entry([1], [0])}}`, 4), says: /data_offsets/ },
  'a hole before the first tensor': {
    bytes: rawSafetensors(`{"a":${entry([1], [4, 8])}}`, 8),
    says: /overlap or hole/,
  },
  'a hole between tensors': {
    bytes: rawSafetensors(`{"a":${entry([1], [0, 4])},"b":${entry([1], [8, 12])}}`, 12),
    says: /"b" starts at byte/,
  },
  'tensors that overlap': {
    bytes: rawSafetensors(`{"a":${entry([2], [0, 8])},"b":${entry([1], [4, 8])}}`, 8),
    says: /"b" starts at byte/,
  },
  'data that is cut': {
    bytes: rawSafetensors(`{"a":${entry([2], [0, 8])}}`, 7),
    says: /but the file ends at/,
  },
  'bytes after the last tensor': {
    bytes: rawSafetensors(`{"a":${entry([1], [0, 4])}}`, 5),
    says: /1 bytes follow/,
  },
  'metadata that is no string': {
    bytes: rawSafetensors('{"__metadata__":{"format":1}}', 0),
    says: /"format" is no string/,
  },
};

describe('a hostile safetensors file', () => {
  test.each(Object.entries(hostile))('with %s is refused by name', async (_, { bytes, says }) => {
    const error = await read(bytes).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(FormatError);
    expect(error).toMatchObject({ code: 'model_file_invalid', path: 'model.safetensors' });
    expect((error as FormatError).reason).toMatch(says);
  });
});

const tensors: fc.Arbitrary<SafetensorsTensorToWrite[]> = fc
  .uniqueArray(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }), { maxLength: 6 })
  .chain((names) =>
    fc.tuple(
      ...names.map((name) =>
        fc
          .tuple(
            fc.constantFrom(...(Object.keys(safetensorsDtypes) as SafetensorsDtype[])),
            fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 }),
            fc.nat({ max: 255 }),
          )
          .map(([dtype, shape, fill]) => {
            const bytes = shape.reduce((product, dim) => product * dim, safetensorsDtypes[dtype]);
            return { name, dtype, shape, data: new Uint8Array(bytes).fill(fill) };
          }),
      ),
    ),
  );

describe('a written safetensors file', () => {
  test('gives back its tensors and metadata, whatever order they came in', async () => {
    const metadata = fc.dictionary(fc.string(), fc.string(), { maxKeys: 4, noNullPrototype: true });
    await fc.assert(
      fc.asyncProperty(tensors, metadata, async (written, strings) => {
        const bytes = async (list: SafetensorsTensorToWrite[]): Promise<Uint8Array> => {
          const sink = memorySink();
          await writeSafetensors(sink, {
            tensors: list,
            metadata: new Map(Object.entries(strings)),
          });
          return sink.bytes();
        };
        const whole = await bytes(written);
        expect(await bytes(written.toReversed())).toEqual(whole);
        const file = await read(whole);
        expect(Object.fromEntries(file.metadata)).toEqual(strings);
        expect(file.tensors.size).toBe(written.length);
        for (const { name, dtype, shape, data } of written) {
          expect(file.tensors.get(name)).toMatchObject({ dtype, shape });
          expect(await file.readTensor(name)).toEqual(data);
        }
      }),
      { numRuns: 150 },
    );
  });

  test('starts its data at a multiple of eight and reads half floats as float32', async () => {
    const sink = memorySink();
    const half = Uint8Array.of(0x00, 0x3c, 0x00, 0xc0);
    const brain = Uint8Array.of(0x80, 0x3f, 0x20, 0xc1);
    await writeSafetensors(sink, {
      tensors: [
        { name: 'half', dtype: 'F16', shape: [2], data: half },
        { name: 'brain', dtype: 'BF16', shape: [2], data: brain },
      ],
    });
    const file = await read(sink.bytes());
    expect(Math.min(...[...file.tensors.values()].map(({ offset }) => offset)) % 8).toBe(0);
    expect([...(await file.readFloats('half'))]).toEqual([1, -2]);
    expect([...(await file.readFloats('brain'))]).toEqual([1, -10]);
  });
});

async function folderWith(files: Record<string, Uint8Array | string>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'corral-formats-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  return folder;
}

const shard = (name: string): Uint8Array => rawSafetensors(`{"${name}":${entry([1], [0, 4])}}`, 4);
const index = (map: Record<string, string>): string => JSON.stringify({ weight_map: map });

describe('a folder of safetensors', () => {
  test('is one model over its shards', async () => {
    const folder = await folderWith({
      'model.safetensors.index.json': index({ a: 'one.safetensors', b: 'two.safetensors' }),
      'one.safetensors': shard('a'),
      'two.safetensors': shard('b'),
    });
    await using model = await openSafetensors(folder);
    expect([...model.tensors.keys()].sort()).toEqual(['a', 'b']);
    expect([...(await model.readFloats('b'))]).toEqual([0]);
  });

  test.each([
    ['a shard outside the folder', { a: '../one.safetensors' }, /has the shard/],
    ['a tensor in another shard', { a: 'two.safetensors', b: 'two.safetensors' }, /in no shard/],
    ['a tensor that the index hides', { c: 'one.safetensors' }, /not where the index says/],
  ])('with %s is refused', async (_, map, says) => {
    const folder = await folderWith({
      'model.safetensors.index.json': index(map),
      'one.safetensors': shard('a'),
      'two.safetensors': shard('b'),
    });
    await expect(openSafetensors(folder)).rejects.toThrow(says);
  });

  test('without weights says so', async () => {
    await expect(openSafetensors(await folderWith({}))).rejects.toThrow(
      /neither model.safetensors/,
    );
  });
});
