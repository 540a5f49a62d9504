// How fast this machine trains a given shape: one pass of two real layers with random weights, timed. The
// rest of the model is reckoned from it, so a prediction follows the machine, its load and its threads.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ModelConfig, modelConfigToJson } from '@corral/formats';
import { methodTraits } from '../config/methods.ts';
import type { CausalLm, OpenCausalLmOptions, PackedBatch } from '../models/causal-lm.ts';
import type { Run } from './run.ts';

const probeLayers = 2;
const probeVocabulary = 64;

/** Rows are worked on in groups of this many positions; fewer where a layer is large, to stay quick. */
const positionsFor = ({ hidden_size }: ModelConfig): number => (hidden_size <= 2048 ? 512 : 128);

export interface LayerSpeed {
  /** Seconds of one layer and position, forward and backward. */
  readonly train: number;
  /** The same, forward only. */
  readonly evaluate: number;
}

function probeBatch(positions: number): PackedBatch {
  const seqLen = Math.min(positions, 256);
  const index = Array.from({ length: positions }, (_, at) => at);
  return {
    rows: positions / seqLen,
    seqLen,
    tokens: Int32Array.from(index, (at) => at % probeVocabulary),
    targets: Int32Array.from(index, (at) => (at + 1) % probeVocabulary),
    weights: new Float32Array(positions).fill(1),
    positions: Int32Array.from(index, (at) => at % 128),
    segments: Int32Array.from(index, (at) => Math.floor((at % seqLen) / 128)),
  };
}

async function fastest(times: number, work: () => Promise<unknown>): Promise<number> {
  let best = Infinity;
  for (let time = 0; time < times; time += 1) {
    const began = performance.now();
    await work();
    best = Math.min(best, (performance.now() - began) / 1000);
  }
  return best;
}

async function measure(model: CausalLm, positions: number): Promise<LayerSpeed> {
  const batch = probeBatch(positions);
  const train = () => model.forwardBackward(batch, { lossScale: 1, step: 0 });
  // The first pass makes the graphs.
  await train();
  await model.evaluate(batch);
  const share = probeLayers * positions;
  return {
    train: (await fastest(2, train)) / share,
    evaluate: (await fastest(2, () => model.evaluate(batch))) / share,
  };
}

/** Times two layers of the run's shape on this machine. */
export async function probeLayerSpeed(
  { config, openModel }: Pick<Run, 'config' | 'openModel'>,
  shape: ModelConfig,
): Promise<LayerSpeed> {
  const folder = await mkdtemp(join(tmpdir(), 'corral-probe-'));
  try {
    const small: ModelConfig = {
      ...shape,
      num_hidden_layers: probeLayers,
      vocab_size: probeVocabulary,
      tie_word_embeddings: true,
      rope_scaling: null,
      bos_token_id: null,
      eos_token_id: null,
      pad_token_id: null,
    };
    await writeFile(
      join(folder, 'config.json'),
      JSON.stringify(modelConfigToJson(small, 'float32')),
    );
    const options: OpenCausalLmOptions = {
      path: folder,
      method: methodTraits[config.method].trainsAdapter ? 'lora' : 'full',
      lora: config.lora,
      seed: 1,
      threads: config.runtime.threads,
      device: config.runtime.device,
    };
    await using model = await openModel(options);
    return await measure(model, positionsFor(shape));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
