// The shapes that the trainer's benchmarks know, by the names of their --model option: a named size, or its
// first layers with a small vocabulary, so that what is timed is layers.
import type { ModelConfig } from '@corral/formats';
import { modelSizes } from '../../packages/trainer/src/models/sizes.ts';

const smallVocabulary = 1024;

const layersOf = (config: ModelConfig, layers: number): ModelConfig => ({
  ...config,
  num_hidden_layers: layers,
  vocab_size: smallVocabulary,
});

export const shapes: Readonly<Record<string, ModelConfig>> = {
  'shape:135m': modelSizes['smollm2-135m'],
  'shape:1.1b': modelSizes['tinyllama-1.1b'],
  'shape:7b': modelSizes['llama-2-7b'],
  'shape:1.1b:2layers': layersOf(modelSizes['tinyllama-1.1b'], 2),
  'shape:7b:2layers': layersOf(modelSizes['llama-2-7b'], 2),
  'shape:13b:2layers': layersOf(modelSizes['llama-2-13b'], 2),
  'shape:70b:2layers': layersOf(modelSizes['llama-2-70b'], 2),
};

/** Exits with the list of names when there is no such shape. */
export const shapeNamed = (name: string): ModelConfig => {
  const shape = shapes[name];
  if (shape) return shape;
  console.error(`no shape "${name}"; known are ${Object.keys(shapes).join(', ')}`);
  process.exit(2);
};
