// How the methods that train an adapter open their model: the base frozen, kept and multiplied as the
// configuration says.
import type { OpenCausalLmOptions } from '../models/causal-lm.ts';
import type { RunData } from './load-data.ts';
import { chooseMemory } from './resources.ts';
import { type Run, phaseReporter } from './run.ts';

/** Throws CorralError `memory_too_small` when the run does not fit its memory limit. */
export async function adapterModelOptions(run: Run, data: RunData): Promise<OpenCausalLmOptions> {
  const { model, lora, train, runtime } = run.config;
  return {
    path: model.path,
    method: 'lora',
    lora,
    precision: runtime.precision,
    seed: train.seed,
    threads: runtime.threads,
    device: runtime.device,
    ...(await chooseMemory(run, data)),
    onProgress: phaseReporter(run.emit, 'load weights'),
    onNote: (message) => run.emit({ type: 'warning', message }),
  };
}
