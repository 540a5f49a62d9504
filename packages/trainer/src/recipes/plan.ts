// What a run will take, before it starts: steps, tokens, memory, disk, time. Time is counted in positions
// of the run's real batches and timed on this machine; the rest is counted from shapes.
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunConfig, RunPlan } from '@corral/contracts';
import { isLeveled } from '@corral/formats';
import { resolveConfig, runIdentity } from '../config/resolve-config.ts';
import type { CausalLm, OpenCausalLmOptions } from '../models/causal-lm.ts';
import { estimateRun, someMatrix } from './estimate.ts';
import { loadData } from './load-data.ts';
import { type TimedRun, predictSeconds, probedSamples } from './predict-time.ts';
import { probeSpeed } from './probe.ts';
import { diskBytes, savingsOf } from './resources.ts';
import type { Run } from './run.ts';
import { stepPlanOf } from './session.ts';

export interface PlanOptions {
  readonly folder: string;
  readonly openModel: (options: OpenCausalLmOptions) => Promise<CausalLm>;
}

/** Predicts a run. Throws what the run itself would throw for its data, model and configuration. */
export async function planRun(
  config: RunConfig,
  { folder, openModel }: PlanOptions,
): Promise<RunPlan> {
  const began = performance.now();
  const resolved = await resolveConfig(config, folder);
  const run: Run = {
    config: resolved,
    identity: runIdentity(resolved),
    output: folder,
    signal: new AbortController().signal,
    emit: () => undefined,
    openModel,
  };
  await using place = await mkdtempDisposable(join(tmpdir(), 'corral-plan-'));
  using data = await loadData(run, place.path);
  const prepareSeconds = (performance.now() - began) / 1000;
  const { shape, storedAs, sizes, work, peakBytes, advice, choices } = await estimateRun(run, data);
  const limit = resolved.runtime.memory_limit;
  const choice =
    choices.find((each) => peakBytes(each) <= limit) ??
    choices.toSorted((a, b) => peakBytes(a) - peakBytes(b))[0] ??
    choices[0];
  const plan = stepPlanOf(run, data.train);
  const samples = probedSamples(work);
  const timed: TimedRun = {
    method: resolved.method,
    checkpointSteps: resolved.checkpoint.every_steps,
    shape,
    sizes,
    work,
    plan,
    prepareSeconds,
  };
  const blocks = isLeveled(storedAs(someMatrix));
  const speeds = await probeSpeed(run, { shape, choice, blocks }, samples);
  return {
    method: resolved.method,
    precision: resolved.runtime.precision,
    base_parameters: sizes.base,
    trainable_parameters: sizes.trainable,
    total_steps: plan.totalSteps,
    tokens: work.tokens,
    peak_memory_bytes: peakBytes(choice),
    memory_limit_bytes: limit,
    memory_savings: savingsOf(choice, choices[0]),
    memory_advice: advice(choice),
    disk_bytes: diskBytes(run, [{ data: { byteLength: 4 * sizes.trainable } }]),
    seconds: Math.round(predictSeconds(timed, samples, speeds)),
  };
}
