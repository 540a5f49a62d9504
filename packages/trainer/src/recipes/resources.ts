// Room on disk is checked before the first step: a run that cannot save its work must not begin.
import { mkdir, statfs } from 'node:fs/promises';
import { CorralError } from '@corral/contracts';
import { checkpointBytes } from '../checkpoint/checkpoint.ts';
import type { Sized } from '../checkpoint/checkpoint.ts';
import type { Run } from './run.ts';

/** Events, transcripts, model card: small, but not nothing. */
const smallFilesBytes = 16 * 2 ** 20;

/**
 * Bytes a run writes at most: `keep` checkpoints, one more while it is written, the best parameters, and
 * the results (an adapter twice; a model as float32, F16 and Q8_0, about twice its float32 size).
 */
export function diskBytes(run: Pick<Run, 'config'>, parameters: readonly Sized[]): number {
  const { checkpoint, train } = run.config;
  const values = parameters.reduce((sum, { data }) => sum + data.byteLength, 0);
  const best = train.early_stopping === null ? 0 : values * 2;
  return (checkpoint.keep + 1) * checkpointBytes(parameters) + best + 2 * values + smallFilesBytes;
}

const mebibytes = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`;

/** Throws CorralError `disk_too_small` when the output's disk has less free than the run may write. */
export async function checkResources(
  run: Pick<Run, 'config' | 'output'>,
  parameters: readonly Sized[],
  what: string,
): Promise<void> {
  await mkdir(run.output, { recursive: true });
  const { bavail, bsize } = await statfs(run.output);
  const available = bavail * bsize;
  const needed = diskBytes(run, parameters);
  if (available >= needed) return;
  throw new CorralError('disk_too_small', {
    params: {
      path: run.output,
      available: mebibytes(available),
      needed: mebibytes(needed),
      purpose: `checkpoints and ${what}`,
    },
    details: { available_bytes: available, needed_bytes: needed },
  });
}
