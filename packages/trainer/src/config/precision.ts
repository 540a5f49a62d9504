// In which arithmetic the products with a frozen base are computed in training. Validation and golden
// transcripts are float32 whatever is chosen here.
import { CorralError, type RunConfig, type TrainingMethod } from '@corral/contracts';
import { methodTraits } from './methods.ts';

export type Precision = 'float32' | 'int8';

/** What `auto` means for each method. int8 is chosen only where loss curves show that it costs nothing. */
const autoPrecision: Record<TrainingMethod, Precision> = {
  lora: 'float32',
  qlora: 'float32',
  full: 'float32',
  pretrain: 'float32',
  dpo: 'float32',
};

/** Throws CorralError `unsupported_parameter` where there is no frozen base to compute with in int8. */
export function resolvePrecision({
  method,
  runtime,
}: Pick<RunConfig, 'method' | 'runtime'>): Precision {
  if (runtime.precision === 'auto') return autoPrecision[method];
  if (runtime.precision === 'int8' && !methodTraits[method].trainsAdapter) {
    const param = 'runtime.precision';
    const reason = `int8 is for a frozen base, and method ${method} trains every weight: use float32`;
    throw new CorralError('unsupported_parameter', {
      params: { param: `${param}: int8`, reason },
      param,
    });
  }
  return runtime.precision;
}
