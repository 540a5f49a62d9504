// An adapter's file against its base: what fits is read with llama.cpp's scale, what does not is refused by name.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gguf, openFileSink, writeGguf, type GgufTensorToWrite } from '@corral/formats';
import { withLoraFile, type BaseMatrices, type LoraFile } from './lora-file.ts';

const base: BaseMatrices = {
  architecture: 'llama',
  matrices: new Map([
    ['blk.0.attn_q.weight', { outputs: 6, inputs: 4 }],
    ['blk.0.ffn_up.weight', { outputs: 8, inputs: 4 }],
  ]),
  exact: true,
};

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'corral-lora-'));
});
afterAll(() => rm(folder, { recursive: true }));

const tensor = (name: string, shape: number[]): GgufTensorToWrite => ({
  name,
  type: 'F32',
  shape,
  data: new Uint8Array(4 * shape.reduce((a, b) => a * b, 1)),
});
const pair = (target: string, rank: number, [outputs, inputs]: [number, number]) => [
  tensor(`${target}.lora_a`, [rank, inputs]),
  tensor(`${target}.lora_b`, [outputs, rank]),
];
const q = (rank = 2): GgufTensorToWrite[] => pair('blk.0.attn_q.weight', rank, [6, 4]);

interface Changes {
  readonly type?: string;
  readonly architecture?: string;
  readonly alpha?: number;
}

/** Reads an adapter of these tensors. */
async function read(
  tensors: readonly GgufTensorToWrite[],
  { type = 'adapter', architecture = 'llama', alpha = 8 }: Changes = {},
): Promise<LoraFile | null> {
  const path = join(folder, 'adapter.gguf');
  await using sink = await openFileSink(path);
  await writeGguf(sink, {
    metadata: new Map([
      ['general.type', gguf.string(type)],
      ['general.architecture', gguf.string(architecture)],
      ['adapter.type', gguf.string('lora')],
      ['adapter.lora.alpha', gguf.float32(alpha)],
    ]),
    tensors,
  });
  await sink.commit();
  return withLoraFile(path, base, async (file) => {
    for (const each of file.pairs) await each.read();
    return file;
  });
}

describe('withLoraFile', () => {
  it('reads pairs of different ranks with the scale that llama.cpp gives each', async () => {
    const file = await read([...q(2), ...pair('blk.0.ffn_up.weight', 4, [8, 4])]);
    expect(file?.pairs.map(({ target, rank, scale }) => [target, rank, scale])).toEqual([
      ['blk.0.attn_q.weight', 2, 4],
      ['blk.0.ffn_up.weight', 4, 2],
    ]);
  });

  it('takes a missing alpha for a scale of one', async () => {
    const file = await read(q(), { alpha: 0 });
    expect(file?.pairs[0]?.scale).toBe(1);
  });

  it('leaves to llama.cpp what is no matrix product', async () => {
    expect(await read(pair('token_embd.weight', 2, [4, 50]))).toBeNull();
    expect(await read([...q(), tensor('blk.0.attn_norm.weight', [4])])).toBeNull();
  });

  it.each([
    ['of another architecture', q(), { architecture: 'qwen2' }, /general.architecture/],
    ['that is a model', q(), { type: 'model' }, /general.type/],
    ['with half a pair', q().slice(0, 1), {}, /not complete/],
    ['for a matrix the base lacks', pair('blk.9.attn_q.weight', 2, [6, 4]), {}, /no matrix/],
    ['of another width', pair('blk.0.attn_q.weight', 2, [6, 5]), {}, /do not fit/],
    ['whose ranks differ', [...q(2).slice(0, 1), ...q(3).slice(1)], {}, /do not fit/],
  ] as [string, GgufTensorToWrite[], Changes, RegExp][])(
    'refuses one %s',
    async (_, tensors, changes, message) => {
      await expect(read(tensors, changes)).rejects.toThrow(message);
    },
  );

  it('refuses what is no GGUF', async () => {
    const path = join(folder, 'text.gguf');
    await writeFile(path, 'hello');
    await expect(withLoraFile(path, base, () => Promise.resolve(1))).rejects.toThrow(/text.gguf/);
  });
});
