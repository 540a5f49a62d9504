// A toy model and adapters for it, as GGUF files: three blocks of random float32, large enough that a mistake
// in who gets which adapter changes every logit. For the self-test of stacks; no vocabulary, no text.
import {
  gguf,
  openFileSink,
  writeGguf,
  type GgufTensorToWrite,
  type GgufValue,
} from '@corral/formats';

const shape = { width: 64, blocks: 3, heads: 4, keyValueHeads: 2, hidden: 96, vocabulary: 48 };
export const toyVocabulary = shape.vocabulary;
const keyValueWidth = (shape.width / shape.heads) * shape.keyValueHeads;

/** [outputs, inputs] of the matrices of a block. */
const matrices: Readonly<Record<string, readonly [number, number]>> = {
  attn_q: [shape.width, shape.width],
  attn_k: [keyValueWidth, shape.width],
  attn_v: [keyValueWidth, shape.width],
  attn_output: [shape.width, shape.width],
  ffn_gate: [shape.hidden, shape.width],
  ffn_up: [shape.hidden, shape.width],
  ffn_down: [shape.width, shape.hidden],
};

/** Numbers between −1 and 1 from a seed (mulberry32). */
function createNoise(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1;
  };
}

function tensor(name: string, dims: readonly number[], value: () => number): GgufTensorToWrite {
  const count = dims.reduce((product, dim) => product * dim, 1);
  const data = new Uint8Array(Float32Array.from({ length: count }, value).buffer);
  return { name, type: 'F32', shape: dims, data };
}

const blocks = Array.from({ length: shape.blocks }, (_, i) => `blk.${i}`);

async function write(
  path: string,
  metadata: readonly [string, GgufValue][],
  tensors: readonly GgufTensorToWrite[],
): Promise<void> {
  await using sink = await openFileSink(path);
  await writeGguf(sink, { metadata: new Map(metadata), tensors });
  await sink.commit();
}

export async function writeToyModel(path: string): Promise<void> {
  const noise = createNoise(1);
  const matrix = (name: string, [rows, columns]: readonly [number, number]): GgufTensorToWrite =>
    tensor(name, [rows, columns], () => (2 * noise()) / Math.sqrt(columns));
  const ones = (name: string): GgufTensorToWrite => tensor(name, [shape.width], () => 1);
  const embedding: readonly [number, number] = [shape.vocabulary, shape.width];
  await write(
    path,
    [
      ['general.architecture', gguf.string('llama')],
      ['llama.context_length', gguf.uint32(128)],
      ['llama.embedding_length', gguf.uint32(shape.width)],
      ['llama.block_count', gguf.uint32(shape.blocks)],
      ['llama.feed_forward_length', gguf.uint32(shape.hidden)],
      ['llama.attention.head_count', gguf.uint32(shape.heads)],
      ['llama.attention.head_count_kv', gguf.uint32(shape.keyValueHeads)],
      ['llama.attention.layer_norm_rms_epsilon', gguf.float32(1e-5)],
      ['llama.vocab_size', gguf.uint32(shape.vocabulary)],
      ['tokenizer.ggml.model', gguf.string('no_vocab')],
    ],
    [
      matrix('token_embd.weight', embedding),
      ...blocks.flatMap((block) => [
        ...Object.entries(matrices).map(([name, dims]) => matrix(`${block}.${name}.weight`, dims)),
        ones(`${block}.attn_norm.weight`),
        ones(`${block}.ffn_norm.weight`),
      ]),
      ones('output_norm.weight'),
      matrix('output.weight', embedding),
    ],
  );
}

export interface ToyAdapter {
  readonly seed: number;
  readonly rank: number;
  /** Names of the matrices it changes. */
  readonly targets: RegExp;
}

export async function writeToyAdapter(
  path: string,
  { seed, rank, targets }: ToyAdapter,
): Promise<void> {
  const noise = createNoise(seed);
  const changed = Object.entries(matrices).filter(([name]) => targets.test(name));
  const tensors = blocks.flatMap((block) =>
    changed.flatMap(([name, [outputs, inputs]]) => [
      tensor(`${block}.${name}.weight.lora_a`, [rank, inputs], () => noise() / Math.sqrt(inputs)),
      tensor(`${block}.${name}.weight.lora_b`, [outputs, rank], () => noise() / Math.sqrt(rank)),
    ]),
  );
  await write(
    path,
    [
      ['general.type', gguf.string('adapter')],
      ['general.architecture', gguf.string('llama')],
      ['adapter.type', gguf.string('lora')],
      ['adapter.lora.alpha', gguf.float32(2 * rank)],
    ],
    tensors,
  );
}
