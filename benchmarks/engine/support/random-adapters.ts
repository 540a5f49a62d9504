// Random LoRA adapters for a GGUF base: all seven matrices of each block, of the size that training gives.
import { join } from 'node:path';
import { gguf, openFileSink, openFileSource, readGguf, writeGguf } from '@corral/formats';

const linear = /^blk\.\d+\.(attn_[qkv]|attn_output|ffn_gate|ffn_up|ffn_down)\.weight$/;

/** `count` float32 numbers within ±size, as bytes. */
function noise(count: number, size: number, seed: number): Uint8Array {
  const numbers = new Float32Array(count);
  let state = Math.imul(seed, 7919) + 1;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    numbers[i] = (state / 2 ** 31) * size;
  }
  return new Uint8Array(numbers.buffer);
}

/** Writes `count` adapters of `rank` into `folder`; their paths. */
export async function writeRandomAdapters(
  model: string,
  { folder, count, rank }: { folder: string; count: number; rank: number },
): Promise<string[]> {
  await using source = await openFileSource(model);
  const { tensors } = await readGguf(source);
  const matrices = [...tensors.values()].filter(({ name }) => linear.test(name));
  const paths: string[] = [];
  for (let number = 0; number < count; number++) {
    const path = join(folder, `adapter-${number}.gguf`);
    await using sink = await openFileSink(path);
    await writeGguf(sink, {
      metadata: new Map([
        ['general.type', gguf.string('adapter')],
        ['general.architecture', gguf.string('llama')],
        ['adapter.type', gguf.string('lora')],
        ['adapter.lora.alpha', gguf.float32(2 * rank)],
      ]),
      tensors: matrices.flatMap(({ name, shape: [outputs = 0, inputs = 0] }, i) => [
        {
          name: `${name}.lora_a`,
          type: 'F32' as const,
          shape: [rank, inputs],
          data: () => noise(rank * inputs, 1.7 / Math.sqrt(inputs), 1000 * number + 2 * i),
        },
        {
          name: `${name}.lora_b`,
          type: 'F32' as const,
          shape: [outputs, rank],
          data: () => noise(outputs * rank, 0.03, 1000 * number + 2 * i + 1),
        },
      ]),
    });
    await sink.commit();
    paths.push(path);
  }
  return paths;
}
