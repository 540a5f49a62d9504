// Runs a configuration from its resolution to its end: locks the output, chooses the recipe, turns what
// happens into events, and says how it ended. Knows no process and no terminal.
import { resolve } from 'node:path';
import {
  CorralError,
  type RunConfig,
  type RunEvent,
  type TrainingMethod,
  toErrorPayload,
} from '@corral/contracts';
import { checkpointFolder } from '../checkpoint/checkpoint.ts';
import { resolvePrecision } from '../config/precision.ts';
import { type ResolvedRunConfig, resolveConfig, runIdentity } from '../config/resolve-config.ts';
import { multipliesBytesExactly } from '../models/exact-bytes.ts';
import type { CausalLm, OpenCausalLmOptions } from '../models/causal-lm.ts';
import { removePartials } from '../output/atomic-file.ts';
import { explainFullDisk } from '../output/disk-full.ts';
import { appendEvent, tryAppendEvent } from '../output/event-log.ts';
import { keepPrecision, settleConfig } from '../output/resolved-file.ts';
import { lockOutput } from '../output/run-lock.ts';
import { readRunRecord } from '../output/run-record.ts';
import { trainDpo } from './dpo.ts';
import { trainFull } from './full.ts';
import { trainLora } from './lora.ts';
import { type Run, RunPaused } from './run.ts';

export interface RunTrainingOptions {
  readonly output: string;
  /** Where relative paths of the configuration start. */
  readonly folder: string;
  readonly signal: AbortSignal;
  readonly emit: (event: RunEvent) => void;
  readonly openModel: (options: OpenCausalLmOptions) => Promise<CausalLm>;
}

export type RunOutcome = 'finished' | 'paused';

const recipes: Record<TrainingMethod, (run: Run) => Promise<void>> = {
  lora: trainLora,
  full: trainFull,
  pretrain: trainFull,
  qlora: trainLora,
  dpo: trainDpo,
};

/** A finished folder answers at once; a folder of another configuration is refused. */
async function answerFromRecord(
  output: string,
  identity: string,
  emit: Run['emit'],
): Promise<boolean> {
  const record = await readRunRecord(output);
  if (!record) return false;
  if (record.identity !== identity) {
    const reason = `"${output}" holds the result of another configuration. Give another --output.`;
    throw new CorralError('conflict', { params: { reason } });
  }
  // Not logged again: the log has it.
  emit({ type: 'finished', ...record.figures });
  return true;
}

/**
 * What was resolved, in the precision that the folder's run began with. Throws `unsupported_parameter` where
 * this processor has not got that.
 */
async function keepWhatBegan(
  output: string,
  config: RunConfig,
  resolved: ResolvedRunConfig,
): Promise<ResolvedRunConfig> {
  if (config.runtime.precision !== 'auto') return resolved;
  const kept = await keepPrecision(output, resolved);
  const { precision } = kept.runtime;
  await resolvePrecision(
    { method: config.method, runtime: { ...config.runtime, precision } },
    multipliesBytesExactly,
  );
  return kept;
}

/** What happens under the lock; its events are logged. */
async function runLocked(config: RunConfig, output: string, options: RunTrainingOptions) {
  const { folder, signal, openModel } = options;
  const notes: string[] = [];
  const chosen = await resolveConfig(config, folder, (message) => notes.push(message));
  const resolved = await keepWhatBegan(output, config, chosen);
  const record = (event: RunEvent): void => {
    appendEvent(output, event);
    options.emit(event);
  };
  const identity = runIdentity(resolved);
  if (await answerFromRecord(output, identity, options.emit)) return 'finished';
  const warn = (message: string): void => {
    record({ type: 'warning', message });
  };
  notes.forEach(warn);
  const settled = await settleConfig(
    output,
    { identity, config: resolved },
    { threadsAreAuto: config.runtime.threads === 'auto', warn },
  );
  const run: Run = { config: settled, identity, output, signal, emit: record, openModel };
  try {
    await recipes[resolved.method](run);
    return 'finished';
  } catch (error) {
    if (error instanceof RunPaused) {
      record({ type: 'paused', step: error.step });
      return 'paused';
    }
    const told = await explainFullDisk(output, error);
    tryAppendEvent(output, { type: 'failed', error: toErrorPayload(told) });
    throw told;
  }
}

/**
 * Trains, or goes on where an earlier call with the same output stopped. Every event goes to `emit`, and
 * to events.jsonl once the folder is the run's own. Throws what ended the run, after a `failed` event.
 */
export async function runTraining(
  config: RunConfig,
  options: RunTrainingOptions,
): Promise<RunOutcome> {
  const output = resolve(options.output);
  try {
    using _lock = await lockOutput(output);
    await removePartials(output);
    await removePartials(checkpointFolder(output));
    return await runLocked(config, output, options);
  } catch (error) {
    const told = await explainFullDisk(output, error);
    options.emit({ type: 'failed', error: toErrorPayload(told) });
    throw told;
  }
}
