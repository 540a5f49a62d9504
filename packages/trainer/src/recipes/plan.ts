// What a run will take, before it starts: steps, tokens, memory, disk, time. Memory and disk are counted
// from shapes; time is counted in positions from the run's real batches and timed on this machine.
import type { RunConfig, RunPlan } from '@corral/contracts';
import {
  type ModelConfig,
  expectedTensors,
  openFileSource,
  readGguf,
  readModelConfig,
} from '@corral/formats';
import { stat } from 'node:fs/promises';
import { resolveConfig, runIdentity } from '../config/resolve-config.ts';
import { attentionWindows } from '../models/batch-layout.ts';
import type { CausalLm, OpenCausalLmOptions } from '../models/causal-lm.ts';
import { buildLayerGraphs } from '../models/layer-graphs.ts';
import { adapterTensors, layerTensors } from '../models/llama.ts';
import { chosenTargets } from '../models/model-tensors.ts';
import { type RunData, loadData } from './load-data.ts';
import { type LayerSpeed, probeLayerSpeed } from './probe.ts';
import { diskBytes } from './resources.ts';
import type { Run } from './run.ts';
import { layoutOf, stepPlanOf } from './session.ts';
import { type Layout, layOut } from './train-step.ts';

const product = (shape: readonly number[]): number => shape.reduce((all, size) => all * size, 1);

interface Sizes {
  readonly base: number;
  readonly trainable: number;
  /** Parameters of one layer, without adapters. */
  readonly layer: number;
}

function sizesOf(config: ModelConfig, { method, lora }: Run['config']): Sizes {
  const base = [...expectedTensors(config).values()].reduce(
    (sum, shape) => sum + product(shape),
    0,
  );
  const layer = layerTensors(config).reduce((sum, { shape }) => sum + product(shape), 0);
  const adapters = adapterTensors(config, lora.rank, chosenTargets(lora));
  const adapter = adapters.reduce((sum, { shape }) => sum + product(shape), 0);
  const trainable = method === 'lora' ? adapter * config.num_hidden_layers : base;
  return { base, trainable, layer };
}

/** Values a layer keeps for its backward pass, for the largest group of rows worked on together. */
function keptValues(config: ModelConfig, run: Run['config'], batch: Shape): number {
  const shape = { ...batch, lookback: batch.steps };
  const adapters =
    run.method === 'lora' ? adapterTensors(config, run.lora.rank, chosenTargets(run.lora)) : [];
  const tensors = [...layerTensors(config), ...adapters];
  const { saved } = buildLayerGraphs({
    config,
    tensors,
    trainable: new Set((run.method === 'lora' ? adapters : tensors).map(({ slot }) => slot)),
    loraScale: 1,
    dropout: run.lora.dropout > 0,
    recompute: false,
    rows: shape.rows,
    steps: shape.steps,
    windows: attentionWindows(shape),
  });
  return saved.reduce((sum, value) => sum + product(value.shape), 0);
}

interface Shape {
  readonly rows: number;
  readonly steps: number;
}

interface Work {
  /** Positions of all training steps, padding included. */
  readonly positions: number;
  readonly scored: number;
  readonly tokens: number;
  readonly validationPositions: number;
  readonly validationScored: number;
  /** The different groups of rows worked on together: each has graphs of its own. */
  readonly shapes: readonly Shape[];
}

/** Steps looked at to reckon the rest: layouts of one epoch resemble those of the next. */
const sampledSteps = 200;

/** Positions of rows worked on together (models/batch-layout.ts). */
const positionsAtOnce = 512;

function workOf(run: Run, data: RunData): Work {
  const layout: Layout = layoutOf(run);
  const plan = stepPlanOf(run, data.train.count);
  const steps = Math.min(plan.totalSteps, sampledSteps);
  const sums = { positions: 0, scored: 0, tokens: 0 };
  // The golden transcripts' prompts come one by one.
  const shapes = new Map<string, Shape>(
    [64, 128].map((steps) => [`1x${steps}`, { rows: 1, steps }]),
  );
  const add = (store: RunData['train'], indices: readonly number[]): void => {
    const { rows, seqLen, segments, weights } = layOut(store, indices, layout);
    sums.positions += rows * seqLen;
    sums.tokens += segments.filter((segment) => segment >= 0).length;
    sums.scored += weights.filter((weight) => weight > 0).length;
    const together = Math.min(rows, Math.max(1, Math.floor(positionsAtOnce / seqLen)));
    shapes.set(`${together}x${seqLen}`, { rows: together, steps: seqLen });
  };
  for (let step = 0; step < steps; step += 1) {
    for (const indices of plan.microBatches(step)) add(data.train, indices);
  }
  const scale = plan.totalSteps / steps;
  const trained = { ...sums };
  Object.assign(sums, { positions: 0, scored: 0, tokens: 0 });
  const { batch_size: size } = run.config.train;
  for (let first = 0; first < data.validation.count; first += size) {
    const count = Math.min(size, data.validation.count - first);
    add(
      data.validation,
      Array.from({ length: count }, (_, index) => first + index),
    );
  }
  return {
    positions: trained.positions * scale,
    scored: trained.scored * scale,
    tokens: Math.round(trained.tokens * scale),
    validationPositions: sums.positions,
    validationScored: sums.scored,
    shapes: [...shapes.values()],
  };
}

/** Node, ONNX Runtime's code and the modules of the trainer, measured. */
const processBytes = 200 * 2 ** 20;
/** Scored rows that the head works on together (models/lm-head.ts), and its arrays of that many logits. */
const headRows = 128;
const headArrays = 4;
/** Arenas of the sessions of one shape against the values that a layer keeps; measured on SmolLM2-135M. */
const arenaFactor = 14;

function peakBytes(
  config: ModelConfig,
  run: Run['config'],
  { base, trainable }: Sizes,
  work: Work,
) {
  const kept = work.shapes.map((shape) => keptValues(config, run, shape));
  const positions = Math.max(...work.shapes.map(({ rows, steps }) => rows * steps));
  const arenas = arenaFactor * kept.reduce((sum, values) => sum + values, 0);
  const layers = config.num_hidden_layers;
  const activations = Math.max(...kept) * layers + positions * config.hidden_size * (layers + 1);
  const head = headArrays * headRows * config.vocab_size;
  // Value, gradient and two moments of what is trained; the value alone of what is frozen.
  const weights = run.method === 'lora' ? base + 4 * trainable : 4 * base;
  return processBytes + 4 * (weights + activations + arenas + head);
}

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

async function modelConfigOf(path: string): Promise<ModelConfig> {
  if ((await stat(path)).isDirectory()) return readModelConfig(path);
  await using source = await openFileSource(path);
  return readModelConfig(await readGguf(source));
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
  const shape = await modelConfigOf(resolved.model.path);
  const data = await loadData(run);
  const sizes = sizesOf(shape, resolved);
  const work = workOf(run, data);
  const plan = stepPlanOf(run, data.train.count);
  const speed = await probeLayerSpeed(run, shape);
  const steps = { total: plan.totalSteps, perEpoch: plan.stepsPerEpoch };
  return {
    method: resolved.method,
    base_parameters: sizes.base,
    trainable_parameters: sizes.trainable,
    total_steps: plan.totalSteps,
    tokens: work.tokens,
    peak_memory_bytes: Math.round(peakBytes(shape, resolved, sizes, work)),
    disk_bytes: diskBytes(run, [{ data: { byteLength: 4 * sizes.trainable } }]),
    seconds: Math.round(secondsOf(run, { config: shape, sizes, work, speed }, steps)),
  };
}
