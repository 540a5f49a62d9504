// How fast this machine trains a given shape: a few real layers with random weights, fed with batches of the
// run itself and timed. The rest of the model is reckoned from it, so a prediction follows the machine, its
// load, its threads, and the way the data fill the rows.
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ModelConfig, modelConfigToJson } from '@corral/formats';
import { methodTraits } from '../config/methods.ts';
import type { CausalLm, OpenCausalLmOptions, PackedBatch } from '../models/causal-lm.ts';
import { layerTensors } from '../models/llama.ts';
import { createAdamW } from '../optim/adamw.ts';
import { clipGradients } from '../optim/clip-gradients.ts';
import type { Run } from './run.ts';

/** Parameters of a layer from which one is enough: a pass of it takes a second. */
const largeLayer = 50e6;
const [smallestVocabulary, largestVocabulary] = [1024, 8192];

/** Timed passes of a kind; the middle one counts, because a shared machine has hiccups. */
const passes = 3;

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
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((all, size) => all * size, 1);

const layerSize = (shape: ModelConfig): number =>
  layerTensors(shape).reduce((sum, tensor) => sum + sizeOf(tensor.shape), 0);

/** A model of the run's shape with few layers, and a head of about a layer's size. */
function smallShape(shape: ModelConfig): ModelConfig {
  const layer = layerSize(shape);
  const vocabulary = Math.round(layer / shape.hidden_size);
  return {
    ...shape,
    num_hidden_layers: layer > largeLayer ? 1 : 2,
    vocab_size: Math.min(
      shape.vocab_size,
      Math.max(smallestVocabulary, Math.min(vocabulary, largestVocabulary)),
    ),
    tie_word_embeddings: true,
    rope_scaling: null,
    bos_token_id: null,
    eos_token_id: null,
    pad_token_id: null,
  };
}

async function seconds(work: () => unknown): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}

async function middle(work: () => unknown): Promise<number> {
  const times: number[] = [];
  for (let pass = 0; pass < passes; pass += 1) times.push(await seconds(work));
  return times.toSorted((a, b) => a - b)[Math.floor(passes / 2)] ?? 0;
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

async function measure(model: CausalLm, sample: PackedBatch): Promise<Speed> {
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

/** Times a few layers of the run's shape on this machine, for each of the given batches of the run. */
export async function probeSpeed(
  { config, openModel }: Pick<Run, 'config' | 'openModel'>,
  shape: ModelConfig,
  samples: readonly PackedBatch[],
): Promise<Speed[]> {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'corral-probe-'));
  const small = modelConfigToJson(smallShape(shape), 'float32');
  await writeFile(join(folder.path, 'config.json'), JSON.stringify(small));
  const options: OpenCausalLmOptions = {
    path: folder.path,
    method: methodTraits[config.method].trainsAdapter ? 'lora' : 'full',
    lora: config.lora,
    precision: config.runtime.precision,
    seed: 1,
    threads: config.runtime.threads,
    device: config.runtime.device,
  };
  await using model = await openModel(options);
  const speeds: Speed[] = [];
  for (const sample of samples) speeds.push(await measure(model, sample));
  return speeds;
}
