// Exported models: merged weights are PEFT's (reference/make-expected-merge.py made the numbers), whatever the base's
// file and the result's form; terms come along; what does not fit is refused and leaves nothing.
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ExportConfigInput, exportConfigSchema } from '@corral/contracts';
import {
  convertFolderToGguf,
  metadataString,
  openFileSource,
  openModelWeights,
  readGguf,
} from '@corral/formats';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exportModel } from './export-model.ts';
import { distance, fingerprint, mergeCases, writeToyExport } from './toy-export.fake.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'corral-export-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const run = (config: ExportConfigInput) => exportModel(exportConfigSchema.parse(config));
const caseOf = (name: string) => {
  const found = mergeCases[name];
  if (!found) throw new Error(`there is no case ${name}`);
  return found;
};
const toy = (name = 'llama-tied') => writeToyExport(folder, caseOf(name));

/** The largest distance of a matrix or vector of the layers from PEFT's. */
async function worst(path: string, name: string): Promise<number> {
  await using weights = await openModelWeights(path);
  let largest = 0;
  for (const [tensor, expected] of Object.entries(caseOf(name).weights)) {
    const found = fingerprint(tensor, await weights.readFloats(tensor));
    largest = Math.max(largest, distance(found, expected));
  }
  return largest;
}

describe.each(Object.keys(mergeCases))('%s', (name) => {
  it('is merged as PEFT merges it, from a folder and from a GGUF, into either', async () => {
    const { base, adapter } = await toy(name);
    const ggufBase = join(folder, 'base.gguf');
    await convertFolderToGguf(base, ggufBase, { form: 'F32' });
    for (const [from, path] of Object.entries({ folder: base, gguf: ggufBase })) {
      const [merged, file] = [join(folder, `${from}-merged`), join(folder, `${from}.gguf`)];
      await run({ source: adapter, base: path, format: 'merged', output: merged });
      expect(await worst(merged, name)).toBeLessThan(1e-7);
      await run({ source: adapter, base: path, format: 'gguf', form: 'f32', output: file });
      expect(await worst(file, name)).toBeLessThan(1e-7);
    }
  });
});

it('keeps the dtype of the base, or takes another, within half a unit of its last digit', async () => {
  const { base, adapter } = await toy();
  const errors: Record<string, number> = {};
  for (const dtype of ['auto', 'bfloat16', 'float16'] as const) {
    const output = join(folder, dtype);
    const { weights } = await run({ source: adapter, base, format: 'merged', output, dtype });
    errors[weights ?? ''] = await worst(output, 'llama-tied');
  }
  expect(errors['F32']).toBeLessThan(1e-7);
  expect(errors['F16']).toBeLessThan(2 ** -11);
  expect(errors['BF16']).toBeLessThan(2 ** -8);
  expect(errors['BF16']).toBeGreaterThan(errors['F16'] ?? 1);
  const config = readFileSync(join(folder, 'bfloat16', 'config.json'), 'utf8');
  expect(JSON.parse(config)).toMatchObject({ torch_dtype: 'bfloat16', rope_parameters: {} });
});

it('takes an adapter beside files of other programs', async () => {
  const { base, adapter } = await toy();
  writeFileSync(join(adapter, 'run.json'), '{}');
  mkdirSync(join(base, 'LICENSES'));
  const output = join(folder, 'out');
  await run({ source: adapter, base, format: 'merged', output });
  expect(existsSync(join(output, 'model.safetensors'))).toBe(true);
});

it('brings along the tokenizer, the terms and where it came from', async () => {
  const { base, adapter } = await toy();
  const output = join(folder, 'out');
  const result = await run({ source: adapter, base, format: 'merged', output });
  expect(readdirSync(output)).toEqual([
    'LICENSE',
    'README.md',
    'config.json',
    'export.json',
    'model.safetensors',
    'tokenizer.json',
    'tokenizer_config.json',
  ]);
  expect(readFileSync(join(output, 'README.md'), 'utf8')).toMatch(/^---\nlicense: apache-2\.0\n/);
  const record = JSON.parse(readFileSync(join(output, 'export.json'), 'utf8')) as object;
  expect(record).toMatchObject({
    schema: 'corral-export/1',
    base_sha256: result.base_sha256,
    adapter_sha256: createHash('sha256')
      .update(readFileSync(join(adapter, 'adapter_model.safetensors')))
      .digest('hex'),
  });
  const file = join(folder, 'out.gguf');
  await run({ source: adapter, base, format: 'gguf', output: file });
  await using source = await openFileSource(file);
  const { metadata } = await readGguf(source);
  expect(metadataString(metadata, 'general.license')).toBe('apache-2.0');
  expect(metadataString(metadata, 'tokenizer.chat_template')).toBe('{{ messages }}');
  expect(metadataString(metadata, 'corral.adapter_sha256')).toBe(result.adapter_sha256);
});

it('says that a quantised base was dequantised', async () => {
  const { base, adapter } = await toy();
  const quantised = join(folder, 'base-q8.gguf');
  await convertFolderToGguf(base, quantised, { form: 'Q8_0' });
  const output = join(folder, 'out');
  const result = await run({ source: adapter, base: quantised, format: 'merged', output });
  expect(result.weights).toBe('F16');
  expect(result.notes.join(' ')).toContain('dequantised');
  expect(await worst(output, 'llama-tied')).toBeLessThan(0.01);
});

it('writes the adapter alone, without the transcripts that quote rows', async () => {
  const { base, adapter } = await toy();
  writeFileSync(join(adapter, 'golden.json'), '{}');
  const output = join(folder, 'out');
  await run({ source: adapter, base, format: 'peft', output });
  expect(readdirSync(output)).toEqual([
    'LICENSE',
    'adapter_config.json',
    'adapter_model.safetensors',
    'export.json',
  ]);
});

it('exports a whole model in another form', async () => {
  const { base } = await toy();
  const output = join(folder, 'model.gguf');
  const result = await run({ source: base, format: 'gguf', form: 'q8_0', output });
  expect(result).toMatchObject({ weights: 'Q8_0', adapter_sha256: null });
  await expect(run({ source: base, format: 'peft', output: join(folder, 'x') })).rejects.toThrow(
    /whole model/,
  );
});

describe('refuses', () => {
  const record = (sha256: string) =>
    JSON.stringify({
      schema: 'corral-run-record/1',
      config: { model: { path: join(folder, 'gone'), sha256 } },
    });

  it.each([
    ['an adapter of another base', 'model_unsupported'],
    ['a base of another shape', 'model_file_invalid'],
    ['an output that is there', 'conflict'],
    ['onnx', 'unsupported_parameter'],
    ['a mixture of llama.cpp', 'unsupported_parameter'],
    ['an adapter whose base nobody knows', 'model_file_invalid'],
  ])('%s', async (what, code) => {
    const { base, adapter } = await toy();
    const output = join(folder, 'out');
    const config: ExportConfigInput = { source: adapter, base, format: 'merged', output };
    if (what === 'an adapter of another base')
      writeFileSync(join(adapter, 'run.json'), record('0'.repeat(64)));
    if (what === 'a base of another shape') {
      const other = await writeToyExport(join(folder, 'other'), {
        ...caseOf('llama-tied'),
        config: { ...caseOf('llama-tied').config, intermediate_size: 64 },
      });
      config.base = other.base;
    }
    if (what === 'an output that is there') config.output = base;
    if (what === 'onnx') config.format = 'onnx';
    if (what === 'a mixture of llama.cpp')
      Object.assign(config, { format: 'gguf', form: 'q4_k_m' });
    if (what === 'an adapter whose base nobody knows') delete config.base;
    const before = readdirSync(folder);
    await expect(run(config)).rejects.toMatchObject({ code });
    expect(readdirSync(folder)).toEqual(before);
    expect(existsSync(output)).toBe(false);
  });

  it('another base, unless that is asked for', async () => {
    const { base, adapter } = await toy();
    writeFileSync(join(adapter, 'run.json'), record('0'.repeat(64)));
    const config = {
      source: adapter,
      base,
      format: 'merged',
      output: join(folder, 'out'),
    } as const;
    const { notes } = await run({ ...config, other_base: true });
    expect(notes.join(' ')).toContain('Accepted as asked');
  });

  it('numbers that float16 cannot hold, by the name of the tensor', async () => {
    const { base, adapter } = await toy();
    const path = join(adapter, 'adapter_config.json');
    const settings = JSON.parse(readFileSync(path, 'utf8')) as object;
    writeFileSync(path, JSON.stringify({ ...settings, lora_alpha: 4096 }));
    const config = { source: adapter, base, format: 'merged' } as const;
    await run({ ...config, output: join(folder, 'fits'), dtype: 'float16' });
    const bytes = readFileSync(join(adapter, 'adapter_model.safetensors'));
    const length = Number(bytes.readBigUInt64LE(0));
    for (let at = 8 + length; at < bytes.length; at += 4)
      bytes.writeFloatLE(bytes.readFloatLE(at) * 100, at);
    writeFileSync(join(adapter, 'adapter_model.safetensors'), bytes);
    await expect(
      run({ ...config, output: join(folder, 'out'), dtype: 'float16' }),
    ).rejects.toMatchObject({ code: 'model_file_invalid', message: /_proj\.weight/ });
  });
});
