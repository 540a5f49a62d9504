// What a header says a model will take, by hand; and how many sequences fit where not all do.
import { engineOptionsSchema } from '@corral/contracts';
import { gguf, memorySink, memorySource, readGguf, writeGguf } from '@corral/formats';
import type { GgufFile } from '@corral/formats';
import { describe, expect, test } from 'vitest';
import { estimateFromHeader, planMemory } from './memory-estimate.ts';

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

describe('an estimate', () => {
  test('is weights, keys and values, logits, scratch, the prefix cache and the process', async () => {
    const { bytes, growing } = estimateFromHeader(await header(), options());
    const weights = vocabulary * width * 4;
    // No longer than it was trained for, whatever is asked for; float16 keys and values.
    const cache = 4 * 1000 * layers * keyValueHeads * 2 * (width / heads) * 2;
    const logits = 2 * 64 * vocabulary * 4;
    const scratch = 100 * 4 * (vocabulary + 4 * width + 2 * feedForward);
    expect(growing).toBe(256 * mebibyte);
    expect(bytes).toBe(96 * mebibyte + weights + cache + logits + scratch + growing);
  });

  test('takes the largest where layers differ', async () => {
    expect(estimateFromHeader(await header(true), options())).toEqual(
      estimateFromHeader(await header(), options()),
    );
  });
});

describe('a plan', () => {
  const without = options({ prefix_cache_bytes: 0 });
  test('has all sequences where they fit, fewer where they do not, at least one', async () => {
    const file = await header();
    const perSequence = 1000 * layers * keyValueHeads * 2 * (width / heads) * 2;
    const whole = estimateFromHeader(file, without).bytes;
    const sequences = (limit: number) => planMemory(file, without, limit).options.n_seq_max;
    expect(
      [whole, whole - 1, whole - 2 * perSequence, whole - 3 * perSequence, 1].map(sequences),
    ).toEqual([4, 2, 2, 1, 1]);
    expect(planMemory(file, without, whole - 1).bytes).toBe(whole - 2 * perSequence);
  });
});
