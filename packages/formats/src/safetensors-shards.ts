// A model as Hugging Face's tools lay it out: one model.safetensors, or numbered shards and an index when it is
// larger than a shard. Source: huggingface_hub, serialization/_torch.py (save_torch_state_dict).
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { openFileSink } from './byte-sink.ts';
import {
  byteLength,
  writeSafetensors,
  type SafetensorsTensorToWrite,
  type SafetensorsToWrite,
} from './safetensors-writer.ts';

/** transformers' default: 5 GB, so that a shard fits on every file system and in most memories. */
const defaultShardBytes = 5_000_000_000;

const indexName = 'model.safetensors.index.json';
const isOurs = (name: string): boolean =>
  name === indexName || /^model(-\d{5}-of-\d{5})?\.safetensors$/.test(name);

/** In the order given; a tensor larger than a shard has one of its own. */
function cutIntoShards(
  tensors: readonly SafetensorsTensorToWrite[],
  shardBytes: number,
): SafetensorsTensorToWrite[][] {
  const shards: SafetensorsTensorToWrite[][] = [];
  let room = 0;
  for (const tensor of tensors) {
    const bytes = byteLength(tensor);
    const shard = shards.at(-1);
    if (shard === undefined || bytes > room) {
      shards.push([tensor]);
      room = shardBytes - bytes;
    } else {
      shard.push(tensor);
      room -= bytes;
    }
  }
  return shards;
}

/**
 * Writes the weights into `folder`; the index comes last, so that a folder with an index is whole. What an
 * earlier writing left under other names is removed.
 */
export async function writeSafetensorsFolder(
  folder: string,
  { metadata = new Map(), tensors }: SafetensorsToWrite,
  { shardBytes = defaultShardBytes }: { readonly shardBytes?: number } = {},
): Promise<void> {
  const shards = cutIntoShards(tensors, shardBytes);
  const number = (value: number): string => String(value).padStart(5, '0');
  const fileName = (shard: number): string =>
    shards.length === 1
      ? 'model.safetensors'
      : `model-${number(shard + 1)}-of-${number(shards.length)}.safetensors`;
  const written = new Set<string>();
  for (const [shard, members] of shards.entries()) {
    await using sink = await openFileSink(join(folder, fileName(shard)));
    await writeSafetensors(sink, { metadata, tensors: members });
    await sink.commit();
    written.add(fileName(shard));
  }
  if (shards.length > 1) {
    const names = shards.flatMap((members, shard) =>
      members.map(({ name }): [string, string] => [name, fileName(shard)]),
    );
    const total_size = tensors.reduce((sum, tensor) => sum + byteLength(tensor), 0);
    const index = { metadata: { total_size }, weight_map: Object.fromEntries(names) };
    await using sink = await openFileSink(join(folder, indexName));
    await sink.write(new TextEncoder().encode(`${JSON.stringify(index, null, 2)}\n`));
    await sink.commit();
    written.add(indexName);
  }
  for (const name of await readdir(folder))
    if (isOurs(name) && !written.has(name)) await rm(join(folder, name));
}
