// Thousands of model files with wrong bytes in their headers: each is read or refused with a FormatError,
// by every function that looks at it, quickly and in bounded memory.
import { describe, expect, test } from 'vitest';
import { memorySource } from './byte-source.ts';
import { FormatError } from './format-error.ts';
import { hostileKinds, makeRandom, mutate } from './mutated-files.fake.ts';

/** So many of the 10,000 are refused at least; the rest is harmless. */
const least = { GGUF: 5000, safetensors: 9000 };

describe.each(['GGUF', 'safetensors'] as const)('10,000 mutated %s files', (name) => {
  test('are read or refused by name, quickly and in little memory', async () => {
    const kind = hostileKinds[name];
    const bytes = await kind.make();
    await kind.use(memorySource(bytes));
    const random = makeRandom(42);
    const rssBefore = process.memoryUsage().rss;
    let refused = 0;
    let slowest = 0;
    for (let i = 0; i < 10_000; i++) {
      const mutant = mutate(bytes, bytes.byteLength - kind.dataBytes, random);
      const started = performance.now();
      try {
        await kind.use(memorySource(mutant));
      } catch (error) {
        if (!FormatError.isInstance(error)) throw error;
        refused++;
      }
      slowest = Math.max(slowest, performance.now() - started);
    }
    expect(refused).toBeGreaterThan(least[name]);
    expect(slowest).toBeLessThan(2000);
    expect(process.memoryUsage().rss - rssBefore).toBeLessThan(256 * 2 ** 20);
  });
});
