// Opens a model for training: reads or initialises the weights, then hands them to the architecture.
import type { CausalLm, OpenCausalLmOptions } from './causal-lm.ts';

/** @throws CorralError model_unsupported, model_file_invalid, non_finite_weights, file_not_found, config_invalid */
export const openCausalLm = (options: OpenCausalLmOptions): Promise<CausalLm> =>
  Promise.reject(new Error(`not built yet: ${options.path}`));
