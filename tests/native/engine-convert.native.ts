// A Hugging Face folder becomes a GGUF that says the same: the shipped model is written out as a folder, an
// engine child makes GGUF files of it, and its answers are those of the original.
import { writeFile, mkdir, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  modelConfigToJson,
  openFileSink,
  openModelWeights,
  writeSafetensors,
} from '@corral/formats';
import { startEngine, temporaryFolder, type TestEngine } from './engine-fixtures.ts';

const original = fileURLToPath(new URL('../../models/rehearsal/rehearsal.gguf', import.meta.url));
const questions = [
  'Who keeps the lighthouse?',
  'Where is the library?',
  'How much is a loaf of bread?',
];
const context = { n_ctx: 256, n_seq_max: 2, n_batch: 128, n_threads: 1 };

/** The model as transformers would have saved it. */
async function writeFolder(folder: string): Promise<void> {
  await using weights = await openModelWeights(original);
  await mkdir(folder);
  const write = (name: string, value: unknown): Promise<void> =>
    writeFile(join(folder, name), JSON.stringify(value));
  await write('config.json', modelConfigToJson(weights.config, 'float32'));
  await write('tokenizer.json', weights.tokenizer.tokenizerJson);
  await write('tokenizer_config.json', weights.tokenizer.tokenizerConfig);
  const tensors = [];
  for (const { name, shape } of weights.tensors.values()) {
    const data = new Uint8Array((await weights.readFloats(name)).buffer);
    tensors.push({ name, dtype: 'F32' as const, shape, data });
  }
  await using sink = await openFileSink(join(folder, 'model.safetensors'));
  await writeSafetensors(sink, { metadata: new Map([['format', 'pt']]), tensors });
  await sink.commit();
}

async function answers(engine: TestEngine): Promise<string[]> {
  const found: string[] = [];
  for (const content of questions) {
    const { text } = await engine.generate('', {
      prompt: { kind: 'messages', messages: [{ role: 'user', content }] },
      ignore_eos: false,
    });
    found.push(text);
  }
  return found;
}

let folder: AsyncDisposable & { path(name: string): string };
let source: string;
let expected: string[];
beforeAll(async () => {
  folder = await temporaryFolder();
  source = folder.path('rehearsal-hf');
  await writeFolder(source);
  await using engine = await startEngine(original, context);
  expected = await answers(engine);
});
afterAll(() => folder[Symbol.asyncDispose]());

/** Makes the form of the folder; gives its path. */
async function convert(ftype: 'q8_0' | 'f16' | 'q4_k_m', from = source): Promise<string> {
  const target = folder.path(`${ftype}.gguf`);
  await using engine = await startEngine();
  await engine.call({ type: 'quantize', source: from, target, ftype });
  return target;
}

test.each(['q8_0', 'f16'] as const)('as %s it answers as the original does', async (ftype) => {
  await using engine = await startEngine(await convert(ftype), context);
  expect(await answers(engine)).toEqual(expected);
});

test('as a mixture of llama.cpp it is smaller and still speaks, and nothing else is left', async () => {
  const target = await convert('q4_k_m');
  await using weights = await openModelWeights(target);
  expect([...weights.tensors.values()].map(({ storedAs }) => storedAs)).not.toContain('F16');
  await using engine = await startEngine(target, context);
  expect((await answers(engine)).every((text) => text.length > 0)).toBe(true);
  const left = (await readdir(dirname(target))).filter((name) => name.startsWith('q4_k_m'));
  expect(left).toEqual(['q4_k_m.gguf']);
});

test('a folder that is no model is refused by what is wrong with it', async () => {
  const empty = folder.path('empty');
  await mkdir(empty);
  await writeFile(join(empty, 'config.json'), '{"model_type": "gpt2"}');
  await expect(convert('f16', empty)).rejects.toMatchObject({ code: 'model_unsupported' });
});
