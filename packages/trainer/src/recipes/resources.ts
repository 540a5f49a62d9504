// Room on disk and in memory is checked before the first step: a run that cannot save its work, or that
// the system would kill, must not begin.
import { mkdir, statfs } from 'node:fs/promises';
import { CorralError } from '@corral/contracts';
import { checkpointBytes } from '../checkpoint/checkpoint.ts';
import type { Sized } from '../checkpoint/checkpoint.ts';
import { readSavings, writeSavings } from '../output/resolved-file.ts';
import { estimateRun } from './estimate.ts';
import type { MemoryAdvice } from './memory-advice.ts';
import type { RunData } from './load-data.ts';
import type { MemoryChoice } from './run-memory.ts';
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
      purpose: `${run.config.checkpoint.keep + 1} checkpoints of ${mebibytes(checkpointBytes(parameters))} (checkpoint.keep: ${run.config.checkpoint.keep}) and the ${what}`,
    },
    details: { available_bytes: available, needed_bytes: needed },
  });
}

/**
 * What the first sitting of this run chose, else the fastest way that fits the memory limit; what it does
 * without is told as a warning. Throws CorralError `memory_too_small` when none fits.
 */
export async function chooseMemory(run: Run, data: RunData): Promise<MemoryChoice> {
  const { peakBytes, choices, advice } = await estimateRun(run, data);
  const { output, identity } = run;
  const limit = run.config.runtime.memory_limit;
  const fitting = choices.filter((each) => peakBytes(each) <= limit);
  const before = await readSavings(output, identity);
  const choice = fitting.find((each) => before && isSame(each, before)) ?? fitting[0];
  if (!choice) {
    const frugal = choices.toSorted((a, b) => peakBytes(a) - peakBytes(b))[0] ?? choices[0];
    throw doesNotFit(run, peakBytes(frugal), advice(frugal));
  }
  if (before === null) await writeSavings(output, identity, choice);
  const without = savingsOf(choice, choices[0]);
  if (without !== '') {
    const message = `Keeping everything would take ${mebibytes(peakBytes(choices[0]))} of memory: ${without}, which is slower.`;
    run.emit({ type: 'warning', message });
  }
  if (before !== null && !isSame(choice, before)) {
    const message =
      'What this run began with does not fit its memory limit any more: the last digits may differ from an undisturbed run.';
    run.emit({ type: 'warning', message });
  }
  return choice;
}

/** The error, after a warning that says what to change. */
function doesNotFit(run: Run, needed: number, advice: readonly MemoryAdvice[]): CorralError {
  const limit = run.config.runtime.memory_limit;
  const said = advice.map(({ change, bytes }) => {
    const fits = bytes <= limit ? ', which fits' : '';
    return `"${change}" ${mebibytes(bytes)} (${mebibytes(needed - bytes)} less${fits})`;
  });
  if (said.length > 0) {
    const message = `Instead of ${mebibytes(needed)} the run would need: with ${said.join('; with ')}.`;
    run.emit({ type: 'warning', message });
  }
  return new CorralError('memory_too_small', {
    params: { needed: mebibytes(needed), available: mebibytes(limit) },
    details: { needed_bytes: Math.ceil(needed), limit_bytes: limit, advice },
  });
}

const isSame = (a: MemoryChoice, b: MemoryChoice): boolean =>
  a.recompute === b.recompute && a.packedBase === b.packedBase;

/** In words; '' when it does without nothing that the fastest way has. */
export const savingsOf = (choice: MemoryChoice, fastest: MemoryChoice): string =>
  [
    ...(choice.recompute ? ['most activations are computed again'] : []),
    ...(choice.packedBase && !fastest.packedBase ? ['the base stays in 4 or 8 bits'] : []),
  ].join(', and ');
