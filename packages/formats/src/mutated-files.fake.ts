// Model files with wrong bytes in their headers: samples, and mutations from a seed, for the tests here and for
// tests/fuzz/headers.ts, which makes many more.
import { memorySink } from './byte-sink.ts';
import { type ByteSource } from './byte-source.ts';
import { detectFormat } from './detect-format.ts';
import { readGguf } from './gguf-reader.ts';
import { validateModelHeader } from './gguf-validate.ts';
import { writeGguf } from './gguf-writer.ts';
import { modelConfigFromGguf, modelConfigToGguf } from './model-config-gguf.ts';
import { modelConfigFromJson } from './model-config-json.ts';
import { readSafetensors } from './safetensors-reader.ts';
import { writeSafetensors } from './safetensors-writer.ts';
import { tokenizerJsonFromGguf } from './tokenizer-from-gguf.ts';
import { ggufTokenizerFromJson } from './tokenizer-to-gguf.ts';

/** mulberry32 with a fixed seed: a failure can be repeated. */
export function makeRandom(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % limit;
  };
}

const extremes = [0, 1, 0x7f, 0x80, 0xff];

/** One to four bytes changed, or a run of bytes doubled, dropped or filled. */
export function mutate(
  bytes: Uint8Array<ArrayBuffer>,
  headerBytes: number,
  random: (limit: number) => number,
): Uint8Array<ArrayBuffer> {
  const mutant = bytes.slice();
  const at = random(headerBytes);
  switch (random(6)) {
    case 0:
      return mutant.fill(extremes[random(5)] ?? 0, at, at + 8);
    case 1:
      mutant.copyWithin(at, at + 1 + random(16));
      return mutant;
    case 2:
      mutant.copyWithin(at + 1 + random(16), at);
      return mutant;
    default:
      for (let n = 1 + random(4); n > 0; n--)
        mutant[random(headerBytes)] = random(2) === 0 ? random(256) : (extremes[random(5)] ?? 0);
      return mutant;
  }
}

async function ggufSample(): Promise<Uint8Array<ArrayBuffer>> {
  const config = modelConfigFromJson({
    model_type: 'llama',
    vocab_size: 4,
    hidden_size: 16,
    intermediate_size: 32,
    num_hidden_layers: 1,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    rope_scaling: { rope_type: 'linear', factor: 2 },
  });
  const tokenizer = ggufTokenizerFromJson({
    tokenizerJson: {
      added_tokens: [{ id: 3, content: '<|im_end|>', special: true }],
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false },
      model: { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: ['a b'] },
    },
    tokenizerConfig: { eos_token: '<|im_end|>', chat_template: '{{ messages }}' },
  });
  const sink = memorySink();
  await writeGguf(sink, {
    metadata: new Map([...modelConfigToGguf(config), ...tokenizer]),
    tensors: [
      { name: 'token_embd.weight', type: 'F32', shape: [4, 16], data: new Uint8Array(256) },
      { name: 'blk.0.ffn_up.weight', type: 'Q8_0', shape: [1, 32], data: new Uint8Array(34) },
    ],
  });
  return sink.bytes();
}

async function safetensorsSample(): Promise<Uint8Array<ArrayBuffer>> {
  const sink = memorySink();
  await writeSafetensors(sink, {
    metadata: new Map([['format', 'pt']]),
    tensors: [
      { name: 'model.embed_tokens.weight', dtype: 'F32', shape: [4, 4], data: new Uint8Array(64) },
      { name: 'model.norm.weight', dtype: 'BF16', shape: [4], data: new Uint8Array(8) },
    ],
  });
  return sink.bytes();
}

async function useGguf(source: ByteSource): Promise<void> {
  await detectFormat(source);
  const file = await readGguf(source);
  validateModelHeader(file);
  modelConfigFromGguf(file);
  tokenizerJsonFromGguf(file.metadata);
  for (const name of file.tensors.keys()) await file.readFloats(name);
}

async function useSafetensors(source: ByteSource): Promise<void> {
  await detectFormat(source);
  const file = await readSafetensors(source);
  for (const name of file.tensors.keys()) await file.readFloats(name);
}

/** What is mutated, how every function that looks at such a file is called, and how many bytes are no header. */
export const hostileKinds = {
  GGUF: { make: ggufSample, use: useGguf, dataBytes: 320 },
  safetensors: { make: safetensorsSample, use: useSafetensors, dataBytes: 72 },
};
