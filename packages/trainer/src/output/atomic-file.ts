// Small files that are either whole or not there: written aside, synced, renamed.
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { openFileSink } from '@corral/formats';

/** Writes text (or bytes) to `path` in one step, durable when the promise resolves. */
export async function writeFileAtomic(path: string, content: string | Uint8Array): Promise<void> {
  await using sink = await openFileSink(path);
  await sink.write(typeof content === 'string' ? Buffer.from(content) : content);
  await sink.commit();
}

export const writeJsonAtomic = (path: string, value: unknown): Promise<void> =>
  writeFileAtomic(path, `${JSON.stringify(value, null, 2)}\n`);

/** Removes what writers that were killed left aside. Only for a folder that nobody else writes now. */
export async function removePartials(folder: string): Promise<void> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return;
    throw error;
  }
  for (const name of names) {
    if (/\.partial-\d+$/.test(name)) await rm(join(folder, name), { force: true });
  }
}
