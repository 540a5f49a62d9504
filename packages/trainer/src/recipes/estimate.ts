// What a run needs of the machine, before it starts: `plan` and the check before a run share it. Puts together the
// model's shape, the work of the run's real batches, and the memory of both.
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
import { methodTraits } from '../config/methods.ts';
import { adapterTensors, layerTensors } from '../models/llama.ts';
import { chosenTargets } from '../models/model-tensors.ts';
import { type Work, countWork } from './count-work.ts';
import type { RunData } from './load-data.ts';
import { type MemoryAdvice, memoryAdvice } from './memory-advice.ts';
import { type MemoryChoice, type MemoryQuestion, peakBytes } from './run-memory.ts';
import type { Run } from './run.ts';

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

/** The model's shape, and how its file stores each tensor. */
async function readShape(path: string): Promise<Pick<MemoryQuestion, 'shape' | 'storedAs'>> {
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
  readonly storedAs: (name: string) => string;
  readonly sizes: Sizes;
  readonly work: Work;
  readonly peakBytes: (choice: MemoryChoice) => number;
  /** What would need less than even the given choice. */
  readonly advice: (choice: MemoryChoice) => MemoryAdvice[];
  /** What can be chosen, the fastest first. */
  readonly choices: readonly [MemoryChoice, ...MemoryChoice[]];
}

/** A matrix that every model has. */
export const someMatrix = 'model.layers.0.mlp.down_proj.weight';

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
  const { config } = run;
  const { shape, storedAs } = await readShape(config.model.path);
  const work = countWork(run, data, shape);
  const question = (choice: MemoryChoice) => ({ shape, storedAs, config, choice });
  return {
    shape,
    storedAs,
    sizes: sizesOf(shape, config),
    work,
    peakBytes: (choice) => peakBytes(question(choice), work),
    advice: (choice) => memoryAdvice(question(choice), work),
    choices: choicesOf(config.method, isLeveled(storedAs(someMatrix))),
  };
}
