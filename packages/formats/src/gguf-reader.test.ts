// Every shape of a hostile GGUF is refused by name before anything is allocated for it.
import { describe, expect, test } from 'vitest';
import { memorySink } from './byte-sink.ts';
import { memorySource } from './byte-source.ts';
import { FormatError } from './format-error.ts';
import { gguf } from './gguf-metadata.ts';
import { readGguf } from './gguf-reader.ts';
import { writeGguf } from './gguf-writer.ts';
import { rawGguf, type RawFile } from './raw-file.fake.ts';

const read = (file: RawFile | Uint8Array): ReturnType<typeof readGguf> =>
  readGguf(memorySource(file instanceof Uint8Array ? file : file.bytes(), 'model.gguf'));

const types = { uint8: 0, uint32: 4, bool: 7, string: 8, array: 9, uint64: 10 };
const huge = 2n ** 63n;

/** One tensor info: name, dims as ggml counts them, type, offset. */
const tensor = (
  file: RawFile,
  name: string,
  dims: (number | bigint)[],
  type = 0,
  offset: number | bigint = 0,
): RawFile =>
  file
    .string(name)
    .uint32(dims.length)
    .uint64(...dims)
    .uint32(type)
    .uint64(offset);

/** Pads to the default alignment and adds data. */
const withData = (file: RawFile, dataBytes: number): RawFile =>
  file.zeros((32 - (file.bytes().byteLength % 32)) % 32).zeros(dataBytes);

const hostile: Record<string, { file: RawFile; says: RegExp }> = {
  'version 1': { file: rawGguf(0, 0, 1), says: /version 1 is not supported/ },
  'version 4': { file: rawGguf(0, 0, 4), says: /version 4 is not supported/ },
  'a big-endian version': { file: rawGguf(0, 0, 0x03000000), says: /big-endian/ },
  'too many tensors': { file: rawGguf(huge, 0), says: /number of tensors.*limit/ },
  'more tensors than bytes': { file: rawGguf(1000, 0), says: /number of tensors.*end of the file/ },
  'too many keys': { file: rawGguf(0, huge), says: /number of metadata keys.*limit/ },
  'more keys than bytes': { file: rawGguf(0, 3).zeros(14), says: /number of metadata keys/ },
  'a key longer than the file': {
    file: rawGguf(0, 1).uint64(60_000).zeros(20),
    says: /length of metadata key 0.*end of the file/,
  },
  'a key of 2^63 bytes': { file: rawGguf(0, 1).uint64(huge).zeros(20), says: /limit is 65535/ },
  'an empty key': { file: rawGguf(0, 1).uint64(0).uint32(types.uint8).zeros(9), says: /is empty/ },
  'a key twice': {
    file: rawGguf(0, 2).string('a').uint32(types.uint8).uint8(1).string('a').uint32(0).uint8(1),
    says: /"a" stands twice/,
  },
  'a key that is not UTF-8': {
    file: rawGguf(0, 1).uint64(2).uint8(0xff, 0xfe).uint32(types.uint8).zeros(9),
    says: /not UTF-8/,
  },
  'an unknown value type': { file: rawGguf(0, 1).string('a').uint32(13).zeros(9), says: /is 13/ },
  'a string longer than the file': {
    file: rawGguf(0, 1).string('a').uint32(types.string).uint64(1_000_000).zeros(9),
    says: /length of "a".*end of the file/,
  },
  'a string of 2^63 bytes': {
    file: rawGguf(0, 1).string('a').uint32(types.string).uint64(huge),
    says: /length of "a".*limit/,
  },
  'an array of 2^63 items': {
    file: rawGguf(0, 1).string('a').uint32(types.array, types.uint8).uint64(huge),
    says: /number of items of "a".*limit/,
  },
  'an array longer than the file': {
    file: rawGguf(0, 1).string('a').uint32(types.array, types.uint64).uint64(500_000),
    says: /number of items of "a".*end of the file/,
  },
  'an array of an unknown type': {
    file: rawGguf(0, 1).string('a').uint32(types.array, 99).uint64(1).zeros(9),
    says: /item type of "a".*99/,
  },
  'arrays nested too deep': {
    file: [1, 2, 3, 4, 5, 6].reduce(
      (file) => file.uint32(types.array).uint64(1),
      rawGguf(0, 1).string('a').uint32(types.array),
    ),
    says: /nests arrays deeper/,
  },
  'a value cut off': {
    file: rawGguf(0, 1).string('abc').uint32(types.uint64).uint8(1),
    says: /"abc"/,
  },
  'alignment 0': {
    file: rawGguf(0, 1).string('general.alignment').uint32(types.uint32, 0),
    says: /general.alignment is 0/,
  },
  'alignment 33': {
    file: rawGguf(0, 1).string('general.alignment').uint32(types.uint32, 33),
    says: /general.alignment is 33/,
  },
  'alignment 2^31': {
    file: rawGguf(0, 1).string('general.alignment').uint32(types.uint32, 0x80000000),
    says: /general.alignment is 2147483648/,
  },
  'alignment of another type': {
    file: rawGguf(0, 1).string('general.alignment').uint32(types.uint64).uint64(32),
    says: /must be a uint32/,
  },
  'a tensor name of 64 bytes': {
    file: withData(tensor(rawGguf(1, 0), 'n'.repeat(64), [4]), 16),
    says: /name of tensor 0.*limit is 63/,
  },
  'a tensor without a name': {
    file: withData(tensor(rawGguf(1, 0), '', [4]), 16),
    says: /no name/,
  },
  'a tensor twice': {
    file: withData(tensor(tensor(rawGguf(2, 0), 'a', [4]), 'a', [4], 0, 32), 64),
    says: /"a" stands twice/,
  },
  'no dimension': { file: withData(tensor(rawGguf(1, 0), 'a', []), 99), says: /has 0 dimensions/ },
  'five dimensions': {
    file: withData(tensor(rawGguf(1, 0), 'a', [1, 1, 1, 1, 1]), 32),
    says: /has 5 dimensions/,
  },
  '2^32 - 1 dimensions': {
    file: rawGguf(1, 0).string('a').uint32(0xffffffff).zeros(40),
    says: /has 4294967295 dimensions/,
  },
  'a dimension of 0': {
    file: withData(tensor(rawGguf(1, 0), 'a', [0]), 16),
    says: /dimension of 0/,
  },
  'a negative dimension': {
    file: withData(tensor(rawGguf(1, 0), 'a', [2n ** 64n - 4n]), 16),
    says: /dimension of 18446744073709551612/,
  },
  'dimensions whose product wraps 64 bits': {
    file: withData(tensor(rawGguf(1, 0), 'a', [2 ** 32, 2 ** 32, 4]), 16),
    says: /ends at byte 2951479051793528\d+/,
  },
  'an unknown tensor type': {
    file: withData(tensor(rawGguf(1, 0), 'a', [32], 31), 64),
    says: /unknown type 31/,
  },
  'a tensor type past the last': {
    file: withData(tensor(rawGguf(1, 0), 'a', [32], 0xffffffff), 64),
    says: /unknown type 4294967295/,
  },
  'rows that are no whole blocks': {
    file: withData(tensor(rawGguf(1, 0), 'a', [33], 2), 64),
    says: /rows of 33 elements/,
  },
  'an offset off the alignment': {
    file: withData(tensor(rawGguf(1, 0), 'a', [4], 0, 8), 64),
    says: /no multiple of the alignment/,
  },
  'an offset past the end': {
    file: withData(tensor(rawGguf(1, 0), 'a', [4], 0, 2n ** 63n), 64),
    says: /but the file ends at/,
  },
  'an offset that wraps 64 bits': {
    file: withData(tensor(rawGguf(1, 0), 'a', [4], 0, 2n ** 64n - 32n), 64),
    says: /but the file ends at/,
  },
  'a tensor larger than the file': {
    file: withData(tensor(rawGguf(1, 0), 'a', [1_000_000]), 64),
    says: /but the file ends at/,
  },
  'tensors that overlap': {
    file: withData(tensor(tensor(rawGguf(2, 0), 'a', [16]), 'b', [4], 0, 32), 64),
    says: /"a" and "b" overlap/,
  },
  'two tensors on the same bytes': {
    file: withData(tensor(tensor(rawGguf(2, 0), 'a', [8]), 'b', [8]), 64),
    says: /overlap/,
  },
};

describe('a hostile GGUF', () => {
  test.each(Object.entries(hostile))('with %s is refused by name', async (_, { file, says }) => {
    const error = await read(file).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(FormatError);
    const { code, path, reason } = error as FormatError;
    expect({ code, path }).toEqual({ code: 'model_file_invalid', path: 'model.gguf' });
    expect(reason).toMatch(says);
  });

  test('with another magic is refused as another format', async () => {
    const bytes = rawGguf(0, 0).bytes();
    bytes.set(new TextEncoder().encode('GGML'));
    await expect(read(bytes)).rejects.toMatchObject({ code: 'model_format_refused' });
  });

  test('cut anywhere in its header is refused', async () => {
    const whole = await sample();
    for (let length = 0; length < whole.headerBytes; length++)
      await expect(read(whole.bytes.slice(0, length))).rejects.toBeInstanceOf(FormatError);
  });

  test('cut in its data is refused with the name of the tensor', async () => {
    const { bytes } = await sample();
    await expect(read(bytes.slice(0, -33))).rejects.toThrow(/"blk.0.weight".*but the file ends at/);
  });
});

/** A small valid file with each kind of value. */
async function sample(): Promise<{ bytes: Uint8Array<ArrayBuffer>; headerBytes: number }> {
  const metadata = new Map([
    ['general.architecture', gguf.string('llama')],
    ['llama.block_count', gguf.uint32(2)],
    ['tokenizer.ggml.tokens', gguf.strings(['a', 'b', 'Ġthe'])],
    ['tokenizer.ggml.scores', gguf.float32s([0, -1, -2])],
    ['flag', gguf.bool(true)],
  ]);
  const sink = memorySink();
  await writeGguf(sink, {
    metadata,
    tensors: [
      { name: 'a.weight', type: 'F32', shape: [2, 4], data: new Uint8Array(32) },
      { name: 'blk.0.weight', type: 'Q8_0', shape: [32], data: new Uint8Array(34) },
    ],
  });
  return { bytes: sink.bytes(), headerBytes: sink.bytes().byteLength - 96 };
}
