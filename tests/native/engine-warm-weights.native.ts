// Weights that are read ahead of their products: the numbers are the same, bit for bit. The first decodes of a
// size are warmed and not warmed in turn (warmth-trial.ts of the engine).
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openNativeLibrary } from '../../packages/engine/src/llama-cpp/native-library.ts';
import { temporaryFolder, writeTinyModel } from './engine-fixtures.ts';

const library = openNativeLibrary();
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
beforeAll(async () => {
  folder = await temporaryFolder();
  await writeTinyModel(folder.path('f32.gguf'));
});
afterAll(() => folder[Symbol.asyncDispose]());

it.each(['f32', 'f16', 'q8_0'] as const)('%s weights give the same logits', async (type) => {
  const path = folder.path(`${type}.gguf`);
  if (type !== 'f32')
    await library.quantize({ source: folder.path('f32.gguf'), target: path, type, threads: 1 });
  const model = library.loadModel(path);
  try {
    const context = model.createContext({
      sequenceTokens: 64,
      sequences: 6,
      batchTokens: 64,
      outputs: 6,
      threads: 1,
    });
    const decode = (): number[] => {
      context.batch.clear();
      for (let sequence = 0; sequence < 6; sequence++) {
        context.truncate(sequence, 0);
        context.batch.add(10 + sequence * 7, 0, sequence, true);
      }
      expect(context.decode()).toBe('ok');
      return Array.from({ length: 6 }, (_, row) => [...context.logits(row)]).flat();
    };
    const first = decode();
    expect(new Set(first).size).toBeGreaterThan(100);
    for (let i = 0; i < 5; i++) expect(decode()).toEqual(first);
  } finally {
    model.close();
  }
});
