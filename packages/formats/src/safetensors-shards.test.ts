// Weights written as one file or as shards are read back whole, and no older layout stays beside them.
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openSafetensors } from './safetensors-folder.ts';
import { writeSafetensorsFolder } from './safetensors-shards.ts';
import type { SafetensorsTensorToWrite } from './safetensors-writer.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'corral-shards-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const tensor = (name: string, values: readonly number[]): SafetensorsTensorToWrite => ({
  name,
  dtype: 'F32',
  shape: [values.length],
  data: new Uint8Array(Float32Array.from(values).buffer),
});
/** 12, 4, 8 and 16 bytes. */
const tensors = [
  tensor('a', [1, 2, 3]),
  tensor('b', [4]),
  tensor('c', [5, 6]),
  tensor('d', [7, 8, 9, 10]),
];

async function readBack(): Promise<Record<string, number[]>> {
  await using file = await openSafetensors(folder);
  const found: Record<string, number[]> = {};
  for (const name of [...file.tensors.keys()].toSorted())
    found[name] = [...(await file.readFloats(name))];
  return found;
}
const whole = { a: [1, 2, 3], b: [4], c: [5, 6], d: [7, 8, 9, 10] };

it('writes one file when it all fits', async () => {
  await writeSafetensorsFolder(folder, { tensors });
  expect(await readdir(folder)).toEqual(['model.safetensors']);
  expect(await readBack()).toEqual(whole);
});

it('fills shards in order, gives a large tensor its own, and lists them', async () => {
  await writeSafetensorsFolder(folder, { tensors }, { shardBytes: 15 });
  expect((await readdir(folder)).toSorted()).toEqual([
    'model-00001-of-00003.safetensors',
    'model-00002-of-00003.safetensors',
    'model-00003-of-00003.safetensors',
    'model.safetensors.index.json',
  ]);
  const index: unknown = JSON.parse(
    await readFile(join(folder, 'model.safetensors.index.json'), 'utf8'),
  );
  expect(index).toMatchObject({
    metadata: { total_size: 40 },
    weight_map: { a: 'model-00001-of-00003.safetensors', d: 'model-00003-of-00003.safetensors' },
  });
  expect(await readBack()).toEqual(whole);
});

it('puts what fits into one shard', async () => {
  await writeSafetensorsFolder(folder, { tensors }, { shardBytes: 16 });
  expect((await readdir(folder)).filter((name) => name.endsWith('.safetensors'))).toHaveLength(3);
  expect(await readBack()).toEqual(whole);
});

it('leaves nothing of an earlier layout', async () => {
  await writeSafetensorsFolder(folder, { tensors }, { shardBytes: 16 });
  await writeSafetensorsFolder(folder, { tensors });
  expect(await readdir(folder)).toEqual(['model.safetensors']);
});
