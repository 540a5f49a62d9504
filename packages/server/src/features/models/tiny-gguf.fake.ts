// A GGUF small enough to write in a test and whole enough to be taken for a model.
import { gguf, memorySink, writeGguf } from '@corral/formats';
import type { TensorType } from '@corral/formats';

/** Bytes of one block of 32 weights. */
const blockBytes = { Q4_1: 20, Q8_0: 34, F16: 64 } as const;

export async function tinyGguf(
  options: {
    type?: keyof typeof blockBytes;
    kind?: string;
    blockCount?: number;
    salt?: string;
  } = {},
): Promise<Buffer> {
  const { type = 'Q8_0', kind = 'model', blockCount = 1, salt = '' } = options;
  const rows = 8;
  const sink = memorySink();
  await writeGguf(sink, {
    metadata: new Map([
      ['general.architecture', gguf.string('llama')],
      ['general.type', gguf.string(kind)],
      ['general.name', gguf.string('Tiny')],
      ['general.license', gguf.string('mit')],
      // Other bytes, the same model.
      ['general.description', gguf.string(salt)],
      ['llama.block_count', gguf.uint32(blockCount)],
      ['llama.context_length', gguf.uint32(128)],
      ['llama.embedding_length', gguf.uint32(32)],
      ['llama.attention.head_count', gguf.uint32(1)],
    ]),
    tensors: [
      {
        name: 'token_embd.weight',
        type: type satisfies TensorType,
        shape: [rows, 32],
        data: new Uint8Array(rows * blockBytes[type]),
      },
    ],
  });
  return Buffer.from(sink.bytes());
}
