// Small files that are either whole or not there: written aside, synced, renamed.
import { openFileSink } from '@corral/formats';

/** Writes text (or bytes) to `path` in one step, durable when the promise resolves. */
export async function writeFileAtomic(path: string, content: string | Uint8Array): Promise<void> {
  await using sink = await openFileSink(path);
  await sink.write(typeof content === 'string' ? Buffer.from(content) : content);
  await sink.commit();
}

export const writeJsonAtomic = (path: string, value: unknown): Promise<void> =>
  writeFileAtomic(path, `${JSON.stringify(value, null, 2)}\n`);
