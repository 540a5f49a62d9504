// How fast this machine trains a given shape: a few of its layers, fed with batches of the run itself and timed. The rest of the model is reckoned from it, so a prediction follows the machine, its
// load, its threads, and the way the data fill the rows.
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ModelConfig } from '@corral/formats';
import { methodTraits } from '../config/methods.ts';
import type { CausalLm, OpenCausalLmOptions, PackedBatch } from '../models/causal-lm.ts';
import { createAdamW } from '../optim/adamw.ts';
import { clipGradients } from '../optim/clip-gradients.ts';
import { layerSize, writeProbeModel } from './probe-model.ts';
import type { MemoryChoice } from './run-memory.ts';
import type { Run } from './run.ts';

/**
 * Timed passes of a kind; the middle one counts, because a shared machine has hiccups. Short ones are repeated: the
 * first of them run before V8 has compiled what is around the kernels.
 */
const passes = { least: 3, most: 40, seconds: 0.4 };

export interface ProbedModel {
  readonly shape: ModelConfig;
  /** How the run will keep and recompute. */
  readonly choice: MemoryChoice;
  /** Whether its file has its matrices in blocks. */
  readonly blocks: boolean;
}

/** Seconds that parts of the work take on this machine. */
export interface Speed {
  /** One layer and position, forward and backward. */
  readonly train: number;
  /** The same, forward only. */
  readonly evaluate: number;
  /** One scored position and entry of the vocabulary, forward and backward. */
  readonly head: number;
  /** One trained parameter in one step: clipping and AdamW. */
  readonly update: number;
  /** The graphs of one shape of batch. */
  readonly graphs: number;
  /** One parameter of the base: read or drawn, and put into its form. */
  readonly load: number;
}

async function seconds(work: () => unknown): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}

async function middle(work: () => unknown): Promise<number> {
  const times: number[] = [];
  let spent = 0;
  while (times.length < passes.least || (spent < passes.seconds && times.length < passes.most)) {
    const time = await seconds(work);
    times.push(time);
    spent += time;
  }
  return times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0;
}

/** The batch with token ids of the small vocabulary. */
function withVocabulary(batch: PackedBatch, size: number): PackedBatch {
  const inside = (id: number): number => id % size;
  return { ...batch, tokens: batch.tokens.map(inside), targets: batch.targets.map(inside) };
}

/** The batch with one scored position: what is left is the layers. */
function withoutLoss(batch: PackedBatch): PackedBatch {
  const first = batch.weights.findIndex((weight) => weight > 0);
  return { ...batch, weights: batch.weights.map((weight, at) => (at === first ? weight : 0)) };
}

async function measure(model: CausalLm, sample: PackedBatch): Promise<Omit<Speed, 'load'>> {
  const { vocab_size, num_hidden_layers } = model.config;
  const batch = withVocabulary(sample, vocab_size);
  const layers = withoutLoss(batch);
  const scored = batch.weights.filter((weight) => weight > 0).length;
  const train = (of: PackedBatch) => () => model.forwardBackward(of, { lossScale: 1, step: 0 });
  const evaluate = () => model.evaluate(layers);
  // The first passes make the graphs.
  const first = (await seconds(train(layers))) + (await seconds(evaluate));
  await train(batch)();
  const layersOnly = await middle(train(layers));
  const forwardOnly = await middle(evaluate);
  const whole = await middle(train(batch));
  const optimizer = createAdamW(model.parameters);
  const update = await middle(() => {
    clipGradients(model.parameters, 1);
    optimizer.step(1e-9);
  });
  const share = num_hidden_layers * batch.rows * batch.seqLen;
  const perLayer = layersOnly / share;
  // A small difference of two times: kept near the rate that the layers reach.
  const atLayersRate = (perLayer * model.config.hidden_size) / layerSize(model.config);
  const head = (whole - layersOnly) / Math.max(1, scored - 1) / vocab_size;
  const trained = model.parameters.reduce((sum, { data }) => sum + data.length, 0);
  return {
    train: perLayer,
    evaluate: forwardOnly / share,
    head: Math.min(2 * atLayersRate, Math.max(0.8 * atLayersRate, head)),
    update: update / trained,
    graphs: Math.max(0, first - layersOnly - forwardOnly),
  };
}

/** Times a few layers of the run's model on this machine, for each of the given batches of the run. */
export async function probeSpeed(
  { config, openModel }: Pick<Run, 'config' | 'openModel'>,
  { shape, choice, blocks }: ProbedModel,
  samples: readonly PackedBatch[],
): Promise<Speed[]> {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'corral-probe-'));
  const path = await writeProbeModel(folder.path, { path: config.model.path, shape, blocks });
  const { trainsAdapter } = methodTraits[config.method];
  const options: OpenCausalLmOptions = {
    path,
    method: trainsAdapter ? 'lora' : 'full',
    lora: config.lora,
    ...(trainsAdapter && { precision: config.runtime.precision, ...choice }),
    recompute: choice.recompute,
    seed: 1,
    threads: config.runtime.threads,
    device: config.runtime.device,
  };
  const began = performance.now();
  await using model = await openModel(options);
  const opened = (performance.now() - began) / 1000;
  const load = opened / model.baseParameterCount;
  const speeds: Speed[] = [];
  for (const sample of samples) speeds.push({ ...(await measure(model, sample)), load });
  return speeds;
}
