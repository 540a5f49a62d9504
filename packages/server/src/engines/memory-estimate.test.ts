// What a header says a model will take, by hand; and how large a cache is where not all sequences fit.
import { engineOptionsSchema } from '@corral/contracts';
import { gguf, memorySink, memorySource, readGguf, writeGguf } from '@corral/formats';
import type { GgufFile } from '@corral/formats';
import { expect, test } from 'vitest';
import { planMemory } from './memory-estimate.ts';

const mebibyte = 2 ** 20;
const [vocabulary, width, feedForward, layers, heads, keyValueHeads] = [64, 32, 96, 4, 8, 2];

async function header(perLayer = false): Promise<GgufFile> {
  const sink = memorySink();
  const headsOf = perLayer ? gguf.int32s([1, keyValueHeads, 1, 1]) : gguf.uint32(keyValueHeads);
  await writeGguf(sink, {
    metadata: new Map([
      ['general.architecture', gguf.string('llama')],
      ['llama.block_count', gguf.uint32(layers)],
      ['llama.context_length', gguf.uint32(1000)],
      ['llama.embedding_length', gguf.uint32(width)],
      ['llama.feed_forward_length', gguf.uint32(feedForward)],
      ['llama.attention.head_count', gguf.uint32(heads)],
      ['llama.attention.head_count_kv', headsOf],
    ]),
    tensors: [
      {
        name: 'token_embd.weight',
        type: 'F32',
        shape: [vocabulary, width],
        data: new Uint8Array(vocabulary * width * 4),
      },
    ],
  });
  return readGguf(memorySource(sink.bytes()));
}
const options = (more: object = {}) =>
  engineOptionsSchema.parse({ n_ctx: 4000, n_seq_max: 4, n_batch: 100, ...more });

const perToken = layers * keyValueHeads * 2 * (width / heads) * 2;

test('a plan counts weights, keys and values, logits, scratch, the prefix cache and the process', async () => {
  const { bytes, growing } = planMemory(await header(), options(), Infinity);
  const weights = vocabulary * width * 4;
  // No longer than it was trained for, whatever is asked for; float16 keys and values.
  const cache = 4 * 1000 * perToken;
  const logits = 2 * 64 * vocabulary * 4;
  const scratch = 100 * 4 * (vocabulary + 4 * width + 2 * feedForward);
  expect(growing).toBe(256 * mebibyte);
  expect(bytes).toBe(128 * mebibyte + weights + cache + logits + scratch + growing);
  expect(planMemory(await header(true), options(), Infinity).bytes).toBe(bytes);
});

test('where not all sequences fit they share a smaller cache, of one whole context at least', async () => {
  const file = await header();
  const whole = planMemory(file, options(), Infinity).bytes;
  const plan = (limit: number, n_kv = 0) => {
    const { bytes, options: chosen } = planMemory(file, options({ n_kv }), limit);
    return [whole - bytes, chosen.n_kv];
  };
  expect(plan(whole)).toEqual([0, 0]);
  expect(plan(whole - 1)).toEqual([perToken, 3999]);
  expect(plan(whole - 1000 * perToken)).toEqual([1000 * perToken, 3000]);
  expect(plan(1)).toEqual([3000 * perToken, 1000]);
  // What was asked for is not exceeded, and counted as what it is.
  expect(plan(Infinity, 2000)).toEqual([2000 * perToken, 2000]);
  expect(plan(Infinity, 9000)).toEqual([0, 9000]);
  expect(plan(whole - 2500 * perToken, 2000)).toEqual([2500 * perToken, 1500]);
});
