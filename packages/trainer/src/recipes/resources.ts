// Room on disk and in memory is checked before the first step: a run that cannot save its work, or that
// the system would kill, must not begin.
import { mkdir, statfs } from 'node:fs/promises';
import { CorralError } from '@corral/contracts';
import { checkpointBytes } from '../checkpoint/checkpoint.ts';
import type { Sized } from '../checkpoint/checkpoint.ts';
import { type MemoryChoice, estimateRun } from './estimate.ts';
import type { RunData } from './load-data.ts';
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
export async function checkDisk(
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

/**
 * The fastest way that fits the memory limit; what it does without is told as a warning.
 * Throws CorralError `memory_too_small` when none fits.
 */
export async function chooseMemory(run: Run, data: RunData): Promise<MemoryChoice> {
  const { peakBytes, choices } = await estimateRun(run, data);
  const limit = run.config.runtime.memory_limit;
  const [fastest] = choices;
  const choice = choices.find((each) => peakBytes(each) <= limit);
  if (!choice) {
    const needed = Math.min(...choices.map(peakBytes));
    throw new CorralError('memory_too_small', {
      params: { needed: mebibytes(needed), available: mebibytes(limit) },
      details: { needed_bytes: Math.round(needed), limit_bytes: limit },
    });
  }
  const without = [
    ...(choice.recompute ? ['most activations are computed again'] : []),
    ...(choice.packedBase && !fastest.packedBase ? ['the base stays in 4 or 8 bits'] : []),
  ];
  if (without.length > 0) {
    const message = `Keeping everything would take ${mebibytes(peakBytes(fastest))} of memory: ${without.join(', and ')}, which is slower.`;
    run.emit({ type: 'warning', message });
  }
  return choice;
}
