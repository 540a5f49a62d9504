// Headers that parse but make llama.cpp abort are refused before native code sees them.
import { describe, expect, test } from 'vitest';
import { memorySink } from './byte-sink.ts';
import { memorySource } from './byte-source.ts';
import { gguf, type GgufValue } from './gguf-metadata.ts';
import { readGguf } from './gguf-reader.ts';
import { validateModelHeader } from './gguf-validate.ts';
import { writeGguf } from './gguf-writer.ts';

const bytes = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
);
const tokens = ['<unk>', '<s>', '</s>', ...bytes, '▁'];

const valid: Record<string, GgufValue> = {
  'general.architecture': gguf.string('llama'),
  'llama.block_count': gguf.uint32(2),
  'llama.context_length': gguf.uint32(128),
  'llama.embedding_length': gguf.uint32(64),
  'llama.feed_forward_length': gguf.uint32(128),
  'llama.attention.head_count': gguf.uint32(4),
  'llama.attention.head_count_kv': gguf.uint32(2),
  'tokenizer.ggml.model': gguf.string('llama'),
  'tokenizer.ggml.tokens': gguf.strings(tokens),
  'tokenizer.ggml.scores': gguf.float32s(tokens.map(() => 0)),
  'tokenizer.ggml.token_type': gguf.int32s(tokens.map(() => 1)),
};

async function validate(changes: Record<string, GgufValue | undefined>): Promise<void> {
  const entries = Object.entries({ ...valid, ...changes }).filter(
    (pair): pair is [string, GgufValue] => pair[1] !== undefined,
  );
  const sink = memorySink();
  await writeGguf(sink, { metadata: new Map(entries), tensors: [] });
  validateModelHeader(await readGguf(memorySource(sink.bytes())));
}

describe('validateModelHeader', () => {
  test('passes a sound header', async () => {
    await expect(validate({})).resolves.toBeUndefined();
  });

  test.each<[string, Record<string, GgufValue | undefined>, RegExp]>([
    ['no architecture', { 'general.architecture': undefined }, /general.architecture/],
    [
      'an architecture that is no name',
      { 'general.architecture': gguf.string('a b\n') },
      /no name/,
    ],
    ['1000 blocks', { 'llama.block_count': gguf.uint32(1000) }, /block_count" is 1000/],
    ['no blocks', { 'llama.block_count': gguf.uint32(0) }, /block_count" is 0/],
    ['a missing block count', { 'llama.block_count': undefined }, /block_count" is missing/],
    ['blocks as a string', { 'llama.block_count': gguf.string('2') }, /must be a number/],
    ['a context of 0', { 'llama.context_length': gguf.uint32(0) }, /context_length" is 0/],
    ['a width of 2^31', { 'llama.embedding_length': gguf.uint32(2 ** 31) }, /embedding_length/],
    ['no heads', { 'llama.attention.head_count': gguf.uint32(0) }, /head_count" is 0/],
    [
      'no key/value heads',
      { 'llama.attention.head_count_kv': gguf.uint32(0) },
      /head_count_kv" is 0/,
    ],
    ['4 heads over 3', { 'llama.attention.head_count_kv': gguf.uint32(3) }, /cannot share 3/],
    ['heads by layer with a 0', { 'llama.attention.head_count_kv': gguf.int32s([2, 0]) }, /is 0/],
    ['an unknown rope scaling', { 'llama.rope.scaling.type': gguf.string('warp') }, /"warp"/],
    ['half-rotated heads', { 'llama.rope.dimension_count': gguf.uint32(8) }, /do not fit/],
    ['values of another size', { 'llama.attention.value_length': gguf.uint32(8) }, /do not fit/],
    ['experts used that are not there', { 'llama.expert_used_count': gguf.uint32(2) }, /experts/],
    ['5000 experts', { 'llama.expert_count': gguf.uint32(5000) }, /expert_count" is 5000/],
    [
      'a token twice',
      { 'tokenizer.ggml.tokens': gguf.strings([...tokens.slice(1), '▁']) },
      /twice/,
    ],
    ['fewer scores', { 'tokenizer.ggml.scores': gguf.float32s([0]) }, /has 1 items/],
    ['fewer types', { 'tokenizer.ggml.token_type': gguf.int32s([1]) }, /has 1 items/],
    [
      'a missing byte token',
      {
        'tokenizer.ggml.tokens': gguf.strings(tokens.with(3, 'x')),
      },
      /byte token <0x00>/,
    ],
  ])('refuses %s', async (_, changes, says) => {
    const refusal = validate(changes);
    await expect(refusal).rejects.toThrow(says);
    await expect(refusal).rejects.toMatchObject({ code: 'model_file_invalid' });
  });
});
