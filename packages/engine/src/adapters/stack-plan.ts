// What stacks can be made for some adapters: sizes, bytes, and the header of the file that llama.cpp loads. The
// header is written by `formats`, whose writer waits for its sink, so it is made when adapters are loaded.
import { gguf, writeGguf, type ByteSink, type GgufToWrite } from '@corral/formats';
import { stackFormats } from '../llama-cpp/stack-formats.ts';
import type { StackFormat, StackPlan, StackTarget } from '../llama-cpp/stack-types.ts';
import { stackScale } from './pack-adapter.ts';

/** Q8_0 keeps 32 columns of B in a block. */
export const smallestRanks = 32;
/** Beyond this A·x costs more than decoding in groups. */
export const largestRanks = 1024;

const padded = (bytes: number): number => Math.ceil(bytes / 32) * 32;

/** Bytes of a rank of all targets. */
export function bytesPerRank(format: StackFormat, targets: readonly StackTarget[]): number {
  const { rowBytes } = stackFormats[format];
  return targets.reduce(
    (sum, { inputs, outputs }) => sum + rowBytes(inputs) + (outputs * rowBytes(32)) / 32,
    0,
  );
}

/** Takes the header, and of the tensors only how long they are. */
async function headerOf(model: GgufToWrite): Promise<Uint8Array> {
  let header: Uint8Array | undefined;
  const sink: ByteSink = {
    write: (bytes) => {
      header ??= bytes.slice();
      return Promise.resolve();
    },
  };
  await writeGguf(sink, model);
  return header ?? new Uint8Array(0);
}

export interface StackPlanOptions {
  readonly architecture: string;
  readonly format: StackFormat;
  readonly ranks: number;
  readonly targets: readonly StackTarget[];
}

/** One block of zeros stands for the data of every tensor: only the header is kept. */
export async function planStack(options: StackPlanOptions): Promise<StackPlan> {
  const { architecture, format, ranks, targets } = options;
  const { type, rowBytes } = stackFormats[format];
  const sizes = targets.flatMap(({ inputs, outputs }) => [
    ranks * rowBytes(inputs),
    outputs * rowBytes(ranks),
  ]);
  const zeros = new Uint8Array(Math.max(...sizes));
  const shapes = targets.flatMap(({ name, inputs, outputs }) => [
    { name: `${name}.lora_a`, shape: [ranks, inputs] },
    { name: `${name}.lora_b`, shape: [outputs, ranks] },
  ]);
  const header = await headerOf({
    metadata: new Map([
      ['general.type', gguf.string('adapter')],
      ['general.architecture', gguf.string(architecture)],
      ['adapter.type', gguf.string('lora')],
      // llama.cpp multiplies by alpha / rank.
      ['adapter.lora.alpha', gguf.float32(ranks * stackScale[format])],
    ]),
    tensors: shapes.map(({ name, shape }, i) => ({
      name,
      shape,
      type,
      data: zeros.subarray(0, sizes[i]),
    })),
  });
  const bytes = sizes.reduce((sum, size) => sum + padded(size), 0);
  return { format, ranks, targets, bytes, header };
}
