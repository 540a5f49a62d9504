// In which arithmetic the products with a frozen base are computed in training. Validation and golden
// transcripts are float32 whatever is chosen here.
import { CorralError, type RunConfig, type TrainingMethod } from '@corral/contracts';
import { methodTraits } from './methods.ts';

export type Precision = 'float32' | 'int8';

/**
 * What `auto` means for each method on a CPU that multiplies bytes exactly. int8 is chosen only where loss
 * curves show that it costs nothing: docs/guides/training.md has them.
 */
const autoPrecision: Record<TrainingMethod, Precision> = {
  lora: 'int8',
  qlora: 'float32',
  full: 'float32',
  pretrain: 'float32',
  dpo: 'float32',
};

const refuse = (reason: string): CorralError => {
  const param = 'runtime.precision';
  return new CorralError('unsupported_parameter', {
    params: { param: `${param}: int8`, reason },
    param,
  });
};

/**
 * @param isExact whether products of bytes are exact on this machine; asked only where it decides
 * @throws CorralError `unsupported_parameter` where there is no frozen base to compute with in int8, or where
 *   the processor cannot
 */
export async function resolvePrecision(
  { method, runtime }: Pick<RunConfig, 'method' | 'runtime'>,
  isExact: () => Promise<boolean>,
): Promise<Precision> {
  const isOnCpu = runtime.device === 'auto' || runtime.device === 'cpu';
  if (runtime.precision === 'auto') {
    const wanted = autoPrecision[method];
    return wanted === 'int8' && isOnCpu && (await isExact()) ? 'int8' : 'float32';
  }
  if (runtime.precision === 'float32') return 'float32';
  if (!methodTraits[method].trainsAdapter) {
    throw refuse(
      `int8 is for a frozen base, and method ${method} trains every weight: use float32`,
    );
  }
  if (isOnCpu && !(await isExact())) {
    throw refuse('this processor cuts off sums of products of bytes: use float32');
  }
  return 'int8';
}
