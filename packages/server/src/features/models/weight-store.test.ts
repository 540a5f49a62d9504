// What the store may delete, and what names a folder's content.
import { mkdir, mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { hashFolder } from './inspect-weights.ts';
import { createWeightStore } from './weight-store.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'corral-weights-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

it("removes its own files and nobody else's, however they are spelled", async () => {
  const root = join(folder, 'models');
  const own = join(root, 'own.gguf');
  const others = [join(folder, 'models-of-mine'), root, `${root}/../precious`];
  for (const path of [root, ...others]) await mkdir(path, { recursive: true });
  await writeFile(own, 'x');
  const store = createWeightStore(root);
  for (const path of [...others, own]) await store.remove(path);
  expect(await Promise.all(others.map(exists))).toEqual([true, true, true]);
  expect(await exists(own)).toBe(false);
});

it('gives a folder of links the digest of what they lead to', async () => {
  const [real, links] = [join(folder, 'real'), join(folder, 'links')];
  for (const path of [real, links]) await mkdir(path);
  for (const name of ['config.json', 'model.safetensors']) {
    await writeFile(join(real, name), name);
    await symlink(join(real, name), join(links, name));
  }
  const digest = await hashFolder(links);
  expect(digest).toBe(await hashFolder(real));
  await writeFile(join(real, 'config.json'), 'changed');
  expect(await hashFolder(links)).not.toBe(digest);
});
