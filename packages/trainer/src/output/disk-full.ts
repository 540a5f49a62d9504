// A write that failed for want of room, as an error that says what to do. Nothing is lost by it: every file is
// written aside and renamed, so the last checkpoint is whole.
import { statfs } from 'node:fs/promises';
import { CorralError } from '@corral/contracts';

/** No space, quota used up, file larger than allowed. */
const codes: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

const isFull = (error: unknown): error is Error =>
  error instanceof Error && 'code' in error && codes.has(error.code);

/** `disk_full` for such an error of a run that writes to `output`; any other error as it is. */
export async function explainFullDisk(output: string, error: unknown): Promise<unknown> {
  if (!isFull(error)) return error;
  const free = await statfs(output).then(
    ({ bavail, bsize }) => `${Math.floor((bavail * bsize) / 2 ** 20)} MiB free`,
    () => 'free space unknown',
  );
  return new CorralError('disk_full', {
    params: { path: output, reason: `${error.message} (${free})` },
    cause: error,
  });
}
