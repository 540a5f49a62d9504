// What a run will take, before it starts: steps, tokens, memory, disk, time. Time is counted in positions
// of the run's real batches and timed on this machine; the rest is counted from shapes.
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunConfig, RunPlan } from '@corral/contracts';
import type { ModelConfig } from '@corral/formats';
import { resolveConfig, runIdentity } from '../config/resolve-config.ts';
import type { CausalLm, OpenCausalLmOptions } from '../models/causal-lm.ts';
import { type Sizes, type Work, estimateRun } from './estimate.ts';
import { loadData } from './load-data.ts';
import { type LayerSpeed, probeLayerSpeed } from './probe.ts';
import { diskBytes } from './resources.ts';
import type { Run } from './run.ts';
import { stepPlanOf } from './session.ts';

/** Reading and dequantising weights, parameters a second; a checkpoint's bytes a second. */
const loadRate = 30e6;
/** AdamW and clipping, seconds a parameter and step (reference: 27 ms for 4.9 M parameters). */
const updateSeconds = 8e-9;

function secondsOf(
  run: Run,
  {
    config,
    sizes,
    work,
    speed,
  }: { config: ModelConfig; sizes: Sizes; work: Work; speed: LayerSpeed },
  steps: { readonly total: number; readonly perEpoch: number },
): number {
  const layers = config.num_hidden_layers;
  // The head's product with the vocabulary, at the rate the layers reach.
  const head = (config.vocab_size * config.hidden_size) / sizes.layer;
  const validations =
    work.validationPositions === 0 ? 0 : 2 + Math.floor((steps.total - 1) / steps.perEpoch);
  const training = speed.train * (layers * work.positions + head * work.scored);
  const validation =
    speed.evaluate *
    (layers * work.validationPositions + head * work.validationScored) *
    validations;
  const updates = updateSeconds * sizes.trainable * steps.total;
  return sizes.base / loadRate + training + validation + updates;
}

export interface PlanOptions {
  readonly folder: string;
  readonly openModel: (options: OpenCausalLmOptions) => Promise<CausalLm>;
}

/** Predicts a run. Throws what the run itself would throw for its data, model and configuration. */
export async function planRun(
  config: RunConfig,
  { folder, openModel }: PlanOptions,
): Promise<RunPlan> {
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
  const { shape, sizes, work, peakBytes } = await estimateRun(run, data);
  const plan = stepPlanOf(run, data.train);
  const speed = await probeLayerSpeed(run, shape);
  const steps = { total: plan.totalSteps, perEpoch: plan.stepsPerEpoch };
  return {
    method: resolved.method,
    base_parameters: sizes.base,
    trainable_parameters: sizes.trainable,
    total_steps: plan.totalSteps,
    tokens: work.tokens,
    peak_memory_bytes: Math.round(peakBytes(false)),
    disk_bytes: diskBytes(run, [{ data: { byteLength: 4 * sizes.trainable } }]),
    seconds: Math.round(secondsOf(run, { config: shape, sizes, work, speed }, steps)),
  };
}
