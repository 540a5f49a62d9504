// What a run needs of the machine, counted from shapes: parameters, positions of its real batches, and the
// memory of both. The constants were measured on SmolLM2-135M; `plan` and the check before a run share them.
import { stat } from 'node:fs/promises';
import type { TrainingMethod } from '@corral/contracts';
import {
  type ModelConfig,
  expectedTensors,
  hfTensorName,
  isLeveled,
  openFileSource,
  readGguf,
  readModelConfig,
} from '@corral/formats';
import { attentionWindows } from '../models/batch-layout.ts';
import { buildLayerGraphs } from '../models/layer-graphs.ts';
import { adapterTensors, layerTensors } from '../models/llama.ts';
import { chosenTargets } from '../models/model-tensors.ts';
import { frozenBaseBytes } from '../models/weight-forms/base-bytes.ts';
import { formsFor } from '../models/weight-forms/choose-forms.ts';
import type { PackedBatch } from '../models/causal-lm.ts';
import type { RunData } from './load-data.ts';
import type { Run } from './run.ts';
import { methodTraits } from '../config/methods.ts';
import { itemCount, layoutOf, stepPlanOf } from './session.ts';
import { type Layout, layOut } from './layout.ts';

const product = (shape: readonly number[]): number => shape.reduce((all, size) => all * size, 1);

export interface Sizes {
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
  const trainable = methodTraits[method].trainsAdapter ? adapter * config.num_hidden_layers : base;
  return { base, trainable, layer };
}

/** Values a layer keeps for its backward pass, for the largest group of rows worked on together. */
interface Memory {
  readonly shape: ModelConfig;
  /** How the file stores a tensor. */
  readonly storedAs: (name: string) => string;
  readonly config: Run['config'];
  readonly choice: MemoryChoice;
}

/** What a run may do without: neither changes what is computed, but for the last digits. */
export interface MemoryChoice {
  /** Activations are computed again instead of kept. */
  readonly recompute: boolean;
  /** A frozen base stays in the blocks of its file. */
  readonly packedBase: boolean;
}

const storageOf = ({ config: { runtime }, storedAs, choice }: Memory) => ({
  precision: runtime.precision,
  storedAs: choice.packedBase ? storedAs : null,
});

function keptValues(memory: Memory, batch: Shape): number {
  const { shape: config, config: run, choice } = memory;
  const shape = { ...batch, lookback: batch.steps };
  const { trainsAdapter } = methodTraits[run.method];
  const adapters = trainsAdapter
    ? adapterTensors(config, run.lora.rank, chosenTargets(run.lora))
    : [];
  const tensors = [...layerTensors(config), ...adapters];
  const { saved } = buildLayerGraphs({
    config,
    tensors,
    forms: trainsAdapter ? formsFor(config, storageOf(memory)) : new Map(),
    trainable: new Set((trainsAdapter ? adapters : tensors).map(({ slot }) => slot)),
    loraScale: 1,
    dropout: run.lora.dropout > 0,
    recompute: choice.recompute,
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

/** Rows worked on together: each shape has graphs of its own. */
export interface WorkShape extends Shape {
  /** Positions of all training steps in rows of this shape, padding included. */
  readonly positions: number;
  /** Such rows of the run; null where only transcripts and validation have them. */
  readonly sample: PackedBatch | null;
}

export interface Work {
  /** Positions of all training steps, padding included. */
  readonly positions: number;
  readonly scored: number;
  readonly tokens: number;
  readonly validationPositions: number;
  readonly validationScored: number;
  readonly shapes: readonly WorkShape[];
}

/** Steps looked at to reckon the rest: layouts of one epoch resemble those of the next. */
const sampledSteps = 200;

/** Positions of rows worked on together (models/batch-layout.ts). */
const positionsAtOnce = 512;

/** The first rows of a batch. */
function firstRows(batch: PackedBatch, rows: number): PackedBatch {
  const part = <T extends Int32Array | Float32Array>(values: T): T =>
    values.slice(0, rows * batch.seqLen) as T;
  return {
    rows,
    seqLen: batch.seqLen,
    tokens: part(batch.tokens),
    targets: part(batch.targets),
    weights: part(batch.weights),
    positions: part(batch.positions),
    segments: part(batch.segments),
  };
}

/** Batches counted one by one. */
class WorkCounter {
  positions = 0;
  scored = 0;
  tokens = 0;
  // The golden transcripts' prompts come one by one.
  readonly shapes = new Map<string, WorkShape>(
    [64, 128].map((steps) => [`1x${steps}`, { rows: 1, steps, positions: 0, sample: null }]),
  );

  add(batch: PackedBatch): void {
    const { rows, seqLen, segments, weights } = batch;
    this.positions += rows * seqLen;
    this.tokens += segments.filter((segment) => segment >= 0).length;
    this.scored += weights.filter((weight) => weight > 0).length;
    const together = Math.min(rows, Math.max(1, Math.floor(positionsAtOnce / seqLen)));
    const key = `${together}x${seqLen}`;
    const { positions = 0, sample = null } = this.shapes.get(key) ?? {};
    this.shapes.set(key, {
      rows: together,
      steps: seqLen,
      positions: positions + rows * seqLen,
      sample: sample ?? firstRows(batch, together),
    });
  }
}

function workOf(run: Run, data: RunData): Work {
  const layout: Layout = layoutOf(run);
  const plan = stepPlanOf(run, data.train);
  const steps = Math.min(plan.totalSteps, sampledSteps);
  const training = new WorkCounter();
  for (let step = 0; step < steps; step += 1) {
    for (const items of plan.microBatches(step)) training.add(layOut(data.train, items, layout));
  }
  const validation = new WorkCounter();
  const { batch_size: size } = run.config.train;
  const heldOut = itemCount(run, data.validation);
  for (let first = 0; first < heldOut; first += size) {
    const count = Math.min(size, heldOut - first);
    const items = Array.from({ length: count }, (_, index) => first + index);
    validation.add(layOut(data.validation, items, layout));
  }
  const scale = plan.totalSteps / steps;
  const trained = [...training.shapes].map(
    ([key, shape]) => [key, { ...shape, positions: shape.positions * scale }] as const,
  );
  const measured = [...validation.shapes].map(
    ([key, shape]) => [key, { ...shape, positions: 0, sample: null }] as const,
  );
  return {
    positions: training.positions * scale,
    scored: training.scored * scale,
    tokens: Math.round(training.tokens * scale),
    validationPositions: validation.positions,
    validationScored: validation.scored,
    shapes: [...new Map([...measured, ...trained]).values()],
  };
}

/** Node, ONNX Runtime's code and the modules of the trainer, measured. */
const processBytes = 200 * 2 ** 20;
/** Scored rows that the head works on together (models/lm-head.ts), and its arrays of that many logits. */
const headRows = 128;
const headArrays = 4;
/** Arenas of the sessions of one shape against the values that a layer keeps; measured on SmolLM2-135M. */
const arenaFactor = 14;

/**
 * A matrix of packed blocks while it is multiplied: levels in a byte and numbers in four, in the arena of
 * each of the three passes. Llama 2 7B in Q4_0 at 512 tokens took 10.7 GB, of which 0.7 are these.
 */
function dequantisedBytes(memory: Memory): number {
  const { shape: config, config: run } = memory;
  if (!methodTraits[run.method].trainsAdapter) return 0;
  const forms = formsFor(config, storageOf(memory));
  const sizes = layerTensors(config).map(({ slot, shape }) =>
    forms.get(slot)?.exact.kind === 'blocks' ? product(shape) : 0,
  );
  return 3 * 5 * Math.max(...sizes);
}

function peakBytes(memory: Memory, { base, trainable }: Sizes, work: Work): number {
  const { shape: config, config: run } = memory;
  const kept = work.shapes.map((shape) => keptValues(memory, shape));
  const positions = Math.max(...work.shapes.map(({ rows, steps }) => rows * steps));
  // A pass that recomputes works on the same values that it would otherwise have kept.
  const keeping = { ...memory, choice: { ...memory.choice, recompute: false } };
  const worked = work.shapes.map((shape) => keptValues(keeping, shape));
  const arenas = arenaFactor * worked.reduce((sum, values) => sum + values, 0);
  const layers = config.num_hidden_layers;
  const activations = Math.max(...kept) * layers + positions * config.hidden_size * (layers + 1);
  const head = headArrays * headRows * config.vocab_size;
  // Value, gradient and two moments of what is trained; the value alone of what is frozen.
  const weights = methodTraits[run.method].trainsAdapter
    ? frozenBaseBytes(config, storageOf(memory)) + 16 * trainable
    : 16 * base;
  return processBytes + weights + dequantisedBytes(memory) + 4 * (activations + arenas + head);
}

/** The model's shape, and how its file stores each tensor. */
async function readShape(path: string): Promise<Pick<Memory, 'shape' | 'storedAs'>> {
  if ((await stat(path)).isDirectory()) {
    return { shape: await readModelConfig(path), storedAs: () => '' };
  }
  await using source = await openFileSource(path);
  const file = await readGguf(source);
  const types = new Map<string, string>(
    [...file.tensors.values()].map(({ name, type }) => [hfTensorName(name) ?? name, type]),
  );
  return { shape: await readModelConfig(file), storedAs: (name) => types.get(name) ?? '' };
}

export interface RunEstimate {
  readonly shape: ModelConfig;
  readonly sizes: Sizes;
  readonly work: Work;
  readonly peakBytes: (choice: MemoryChoice) => number;
  /** What can be chosen, the fastest first. */
  readonly choices: readonly [MemoryChoice, ...MemoryChoice[]];
}

/** A matrix that every model has. */
const someMatrix = 'model.layers.0.mlp.down_proj.weight';

function choicesOf(method: TrainingMethod, quantised: boolean): RunEstimate['choices'] {
  const choices = (packedBase: boolean): [MemoryChoice, MemoryChoice] => [
    { recompute: false, packedBase },
    { recompute: true, packedBase },
  ];
  // What method lora and qlora differ in is this alone; others take what fits.
  if (method === 'qlora') return choices(true);
  const others = method !== 'lora' && methodTraits[method].trainsAdapter && quantised;
  return others ? [...choices(false), ...choices(true)] : choices(false);
}

/** Counts a run. Throws what reading the model's configuration throws. */
export async function estimateRun(run: Run, data: RunData): Promise<RunEstimate> {
  const { shape, storedAs } = await readShape(run.config.model.path);
  const sizes = sizesOf(shape, run.config);
  const work = workOf(run, data);
  return {
    shape,
    sizes,
    work,
    peakBytes: (choice) => peakBytes({ shape, storedAs, config: run.config, choice }, sizes, work),
    choices: choicesOf(run.config.method, isLeveled(storedAs(someMatrix))),
  };
}
