// Converted folders against llama.cpp's own converter: every tensor's type, shape and bytes, and the metadata
// of the architecture. The expected values are made by reference/make-conversion-expected.py.
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import conversions from '../reference/expected/conversion.json' with { type: 'json' };
import { memorySink, openFileSink } from './byte-sink.ts';
import { memorySource, openFileSource } from './byte-source.ts';
import { expectedTensors } from './expected-tensors.ts';
import { FormatError } from './format-error.ts';
import { metadataNumber } from './gguf-metadata.ts';
import { readGguf, type GgufFile } from './gguf-reader.ts';
import { modelConfigFromJson } from './model-config-json.ts';
import { convertFolderToGguf, modelToGguf, type GgufForm } from './model-to-gguf.ts';
import { openModelWeights } from './model-weights.ts';
import { writeGguf } from './gguf-writer.ts';
import { writeSafetensors } from './safetensors-writer.ts';

const forms = ['F32', 'F16', 'BF16', 'Q8_0'] as const;
const cases = Object.entries(conversions);

/** The numbers of the script's `weight`. */
const weight = (name: string, shape: readonly number[]): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => {
    const bits = Number((BigInt(i + name.length) * 2654435761n) & 0xffffffn);
    return bits * 2 ** -24 - 0.5;
  });

const tokenizer = {
  tokenizerJson: {
    model: {
      type: 'BPE',
      vocab: Object.fromEntries(
        Array.from({ length: 64 }, (_, i) => [String.fromCodePoint(0x4e00 + i), i]),
      ),
      merges: [],
    },
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
  },
  tokenizerConfig: {},
};

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'corral-convert-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function writeFolder(name: string, config: object): Promise<string> {
  const folder = join(root, name);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'config.json'), JSON.stringify(config));
  await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer.tokenizerJson));
  await using sink = await openFileSink(join(folder, 'model.safetensors'));
  await writeSafetensors(sink, {
    metadata: new Map([['format', 'pt']]),
    tensors: [...expectedTensors(modelConfigFromJson(config))].map(([tensor, shape]) => ({
      name: tensor,
      dtype: 'F32',
      shape,
      data: new Uint8Array(weight(tensor, shape).buffer),
    })),
  });
  await sink.commit();
  return folder;
}

async function tensorDigests(file: GgufFile): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  for (const { name, type, shape } of file.tensors.values()) {
    const bytes = await file.readTensor(name);
    const digest = createHash('sha256').update(bytes).digest('hex').slice(0, 16);
    found[name] = [type, shape, digest];
  }
  return found;
}

describe.each(cases)('%s', (name, { config, forms: expected }) => {
  it.each(forms)(
    'as %s has the tensors of the reference converter, byte for byte',
    async (form) => {
      const folder = await writeFolder(name, config);
      const target = join(root, `${name}-${form}.gguf`);
      const progress: number[] = [];
      await convertFolderToGguf(folder, target, {
        form,
        onProgress: (done, total) => progress.push(done / total),
      });
      await using source = await openFileSource(target);
      const file = await readGguf(source);
      expect(await tensorDigests(file)).toEqual(expected[form].tensors);
      for (const [key, value] of Object.entries(expected[form].metadata)) {
        const found = file.metadata.get(key);
        expect([key, found && 'value' in found ? found.value : undefined]).toEqual([key, value]);
      }
      expect(progress[0]).toBe(0);
      expect(progress.at(-1)).toBe(1);
      expect(progress).toEqual(progress.toSorted((a, b) => a - b));
    },
  );
});

it('gives back the weights it was given', async () => {
  const [name, { config }] = cases.find(([id]) => id === 'llama3-tied') ?? ['', { config: {} }];
  const folder = await writeFolder(`${name}-back`, config);
  const target = join(root, 'back.gguf');
  await convertFolderToGguf(folder, target, { form: 'F32' });
  await using from = await openModelWeights(folder);
  await using to = await openModelWeights(target);
  expect([...to.tensors.keys()].toSorted()).toEqual([...from.tensors.keys()].toSorted());
  for (const tensor of from.tensors.keys())
    expect(await to.readFloats(tensor)).toEqual(await from.readFloats(tensor));
});

it('leaves nothing behind when it is stopped', async () => {
  const [name, { config }] = cases[0] ?? ['', { config: {} }];
  const folder = await writeFolder(`${name}-stopped`, config);
  const target = join(root, 'stopped.gguf');
  const stop = new AbortController();
  const conversion = convertFolderToGguf(folder, target, {
    form: 'F16',
    signal: stop.signal,
    onProgress: (done) => {
      if (done > 0) stop.abort();
    },
  });
  await expect(conversion).rejects.toThrow(/abort/i);
  expect((await readdir(root)).filter((file) => file.startsWith('stopped'))).toEqual([]);
});

it('refuses a tensor that llama.cpp has no place for, by its name', () => {
  const config = modelConfigFromJson(cases[0]?.[1].config ?? {});
  const tensors = [{ name: 'model.vision.weight', shape: [2, 2], read: () => new Float32Array(4) }];
  const model = { name: 'odd', config, tokenizer, tensors };
  expect(() => modelToGguf(model, 'F16')).toThrow(FormatError);
  expect(() => modelToGguf(model, 'F16')).toThrow('model.vision.weight');
});

it.each<[GgufForm, number]>([
  ['F32', 0],
  ['F16', 1],
  ['Q8_0', 7],
  ['BF16', 32],
])('names %s as llama.h does', async (form, fileType) => {
  const config = modelConfigFromJson(cases[0]?.[1].config ?? {});
  const sink = memorySink();
  await writeGguf(sink, modelToGguf({ name: 'none', config, tokenizer, tensors: [] }, form));
  const { metadata } = await readGguf(memorySource(sink.bytes()));
  expect(metadataNumber(metadata, 'general.file_type')).toBe(fileType);
});
