// The most memory that a run takes, as a sum of things that can be named: the process, the weights, what training
// adds to them, the values kept for the backward pass, the sessions, and what waits for the garbage collector.
import type { ModelConfig } from '@corral/formats';
import { expectedTensors } from '@corral/formats';
import { methodTraits } from '../config/methods.ts';
import { attentionWindows } from '../models/batch-layout.ts';
import { type HeadGraphs, buildHeadGraphs } from '../models/head-graphs.ts';
import { type LayerGraphs, buildLayerGraphs } from '../models/layer-graphs.ts';
import { adapterTensors, dropoutSites, dropoutWidths, layerTensors } from '../models/llama.ts';
import { chunkSizesOf } from '../models/lm-head.ts';
import { chosenTargets } from '../models/model-tensors.ts';
import { frozenBaseBytes } from '../models/weight-forms/base-bytes.ts';
import { formsFor } from '../models/weight-forms/choose-forms.ts';
import type { Work, WorkShape } from './count-work.ts';
import type { Run } from './run.ts';
import { heldBytes, regionsOf, resultBytes } from './session-memory.ts';

/** What a run may do without: neither changes what is computed, but for the last digits. */
export interface MemoryChoice {
  /** Activations are computed again instead of kept. */
  readonly recompute: boolean;
  /** A frozen base stays in the blocks of its file. */
  readonly packedBase: boolean;
}

/** What the memory of a run depends on. */
export interface MemoryQuestion {
  readonly shape: ModelConfig;
  /** How the file stores a tensor. */
  readonly storedAs: (name: string) => string;
  readonly config: Pick<Run['config'], 'method' | 'lora' | 'runtime'>;
  readonly choice: MemoryChoice;
}

/** Bytes by what they are for. */
interface MemoryParts {
  /** Node, the trainer's modules, the tokenizer, ONNX Runtime's code. */
  readonly process: number;
  readonly base: number;
  /** Value, gradient and two moments of what is trained; the value alone where the base itself is trained. */
  readonly trained: number;
  /** Kept for the backward pass, of all layers, and what enters each. */
  readonly activations: number;
  /** Where the gradients of one layer, or of the vocabulary, are computed. */
  readonly gradients: number;
  readonly sessions: number;
  /** Copies of results and masks, before they are collected. */
  readonly garbage: number;
}

const product = (shape: readonly number[]): number => shape.reduce((all, size) => all * size, 1);
const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);

/** Resident before a weight is read (156 MiB) and what ONNX Runtime's library adds when it first runs (30 MiB). */
const processBytes = 186 * 2 ** 20;

/**
 * Copies of results that are dropped: V8 lets young ones gather up to two of its largest semi-spaces, and those of
 * the last layers are old by then and wait for a full collection.
 */
const uncollectedBytes = 64 * 2 ** 20;
const uncollectedLayers = 3;

const storageOf = ({ config: { runtime }, storedAs, choice }: MemoryQuestion) => ({
  precision: runtime.precision,
  storedAs: choice.packedBase ? storedAs : null,
});

function layerGraphsOf(question: MemoryQuestion, shape: WorkShape): LayerGraphs {
  const { shape: config, config: run, choice } = question;
  const { trainsAdapter } = methodTraits[run.method];
  const adapters = trainsAdapter
    ? adapterTensors(config, run.lora.rank, chosenTargets(run.lora))
    : [];
  const tensors = [...layerTensors(config), ...adapters];
  return buildLayerGraphs({
    config,
    tensors,
    forms: trainsAdapter ? formsFor(config, storageOf(question)) : new Map(),
    trainable: new Set((trainsAdapter ? adapters : tensors).map(({ slot }) => slot)),
    loraScale: 1,
    dropout: run.lora.dropout > 0,
    recompute: choice.recompute,
    rows: shape.rows,
    steps: shape.steps,
    windows: attentionWindows(shape),
  });
}

/** Of all sessions of the head, and the largest copy of their results. */
function headMemory({ shape: config, config: { method } }: MemoryQuestion, work: Work) {
  const { trainsAdapter } = methodTraits[method];
  const graphsOf = (pass: keyof HeadGraphs, shapes: readonly WorkShape[]) => {
    const sizes = shapes.flatMap(({ scored }) => chunkSizesOf(config, pass, scored));
    return [...new Set(sizes)].map((rows) => buildHeadGraphs(config, rows)[pass]);
  };
  const trained = work.shapes.filter(({ positions }) => positions > 0);
  const evaluated = work.shapes.filter((shape) => shape.evaluated);
  const graphs = [
    ...graphsOf(trainsAdapter ? 'train' : 'trainAll', trained),
    ...graphsOf('evaluate', evaluated),
    // A transcript asks for a token or a few at a time.
    ...(work.golden.length > 0 ? [buildHeadGraphs(config, 16).logits] : []),
  ];
  return {
    sessions: sum(graphs.map((graph) => heldBytes(graph, regionsOf.head))),
    copies: Math.max(0, ...graphs.map(resultBytes)),
  };
}

/** What the layers of all shapes take. */
function layerMemory(question: MemoryQuestion, work: Work) {
  const parts = work.shapes.map((shape) => {
    const { evaluate, forward, backward, saved } = layerGraphsOf(question, shape);
    const trained = shape.positions > 0 ? [forward, backward] : [];
    const graphs = [...trained, ...(shape.evaluated ? [evaluate] : [])];
    return {
      kept: shape.positions > 0 ? 4 * sum(saved.map((value) => product(value.shape))) : 0,
      sessions: sum(graphs.map((graph) => heldBytes(graph, regionsOf.layer))),
      copies: Math.max(0, ...graphs.map(resultBytes)),
    };
  });
  return {
    kept: Math.max(...parts.map(({ kept }) => kept)),
    sessions: sum(parts.map(({ sessions }) => sessions)),
    copies: Math.max(...parts.map(({ copies }) => copies)),
  };
}

/** Masks of a batch: each block of queries sees the keys before it, so about half of a square. */
function maskBytes({ shapes, batchPositions }: Work): number {
  const longest = Math.max(...shapes.map(({ steps, lookback }) => Math.min(steps, 2 * lookback)));
  return 2 * batchPositions * longest;
}

/** What training adds to the base. */
function trainedBytes({ shape: config, config: run }: MemoryQuestion): number {
  const { trainsAdapter } = methodTraits[run.method];
  const tensors = adapterTensors(config, run.lora.rank, chosenTargets(run.lora));
  const adapter = config.num_hidden_layers * sum(tensors.map(({ shape }) => product(shape)));
  const whole = sum([...expectedTensors(config).values()].map(product));
  return trainsAdapter ? 16 * adapter : 12 * whole;
}

function memoryParts(question: MemoryQuestion, work: Work): MemoryParts {
  const { shape: config, config: run } = question;
  const { trainsAdapter } = methodTraits[run.method];
  const layers = layerMemory(question, work);
  const head = headMemory(question, work);
  const positions = Math.max(...work.shapes.map(({ rows, steps }) => rows * steps));
  const widths = dropoutWidths(config);
  const dropped = run.lora.dropout > 0 ? sum(dropoutSites.map((site) => widths[site])) : 0;
  const layer = sum(layerTensors(config).map(({ shape }) => product(shape)));
  return {
    process: processBytes,
    base: trainsAdapter
      ? frozenBaseBytes(config, storageOf(question))
      : 4 * sum([...expectedTensors(config).values()].map(product)),
    trained: trainedBytes(question),
    activations:
      layers.kept * config.num_hidden_layers +
      4 * positions * (config.hidden_size * (config.num_hidden_layers + 3) + dropped),
    gradients: trainsAdapter ? 0 : 4 * (layer + config.vocab_size * config.hidden_size),
    sessions: layers.sessions + head.sessions,
    garbage:
      uncollectedBytes +
      Math.max(Math.min(uncollectedLayers, config.num_hidden_layers) * layers.copies, head.copies) +
      maskBytes(work),
  };
}

/** The largest tensor is read, and made numbers, before it goes where it belongs. */
const readingBytes = ({ shape: config }: MemoryQuestion): number =>
  8 * Math.max(...[...expectedTensors(config).values()].map(product));

/** While weights are read, or while training goes on. */
export function peakBytes(question: MemoryQuestion, work: Work): number {
  const parts = memoryParts(question, work);
  const reading = parts.process + parts.base + readingBytes(question);
  return Math.ceil(Math.max(reading, sum(Object.values(parts))));
}
