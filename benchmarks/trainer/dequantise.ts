// What it costs to make the numbers of a base that stays in 4-bit blocks: each matrix of a layer times one
// row, in blocks and in float32. The difference is the unpacking, for a product with one row only reads.
import {
  formTensors,
  matrixInputs,
} from '../../packages/trainer/src/models/weight-forms/weight-form.ts';
import type {
  MatrixShape,
  WeightForm,
} from '../../packages/trainer/src/models/weight-forms/weight-form.ts';
import { formsFor } from '../../packages/trainer/src/models/weight-forms/choose-forms.ts';
import { matrixShape } from '../../packages/trainer/src/models/weight-forms/frozen-matrix.ts';
import { layerTensors, matrixSites } from '../../packages/trainer/src/models/llama.ts';
import { input } from '../../packages/trainer/src/graph/ops.ts';
import { elementCount } from '../../packages/trainer/src/graph/value.ts';
import type { DType } from '../../packages/trainer/src/graph/value.ts';
import { lower } from '../../packages/trainer/src/onnx/lower.ts';
import type { HostArray, Runtime } from '../../packages/trainer/src/runtime/runtime.ts';
import { hostTensor } from '../../packages/trainer/src/runtime/runtime.ts';
import type { ModelConfig } from '@corral/formats';

const arrays: Record<DType, (length: number) => HostArray> = {
  float32: (length) => new Float32Array(length).fill(0.01),
  int64: (length) => new BigInt64Array(length),
  int8: (length) => new Int8Array(length).fill(3),
  uint8: (length) => new Uint8Array(length).fill(0x35),
};

/** Least processor time of a product with one row. */
const productSeconds = async (
  runtime: Runtime,
  form: WeightForm,
  shape: MatrixShape,
): Promise<number> => {
  const [outputs, inputs] = shape;
  const matrix = matrixInputs('w', { form, shape, known: new Map() });
  const y = matrix.times(input('x', [1, inputs]));
  await using session = await runtime.createSession(lower({ outputs: new Map([['y', y]]) }));
  const feeds = Object.fromEntries(
    formTensors('w', form, shape).map((tensor) => [
      tensor.name,
      hostTensor(arrays[tensor.dtype](elementCount(tensor.shape)), tensor.shape),
    ]),
  );
  const x = hostTensor(new Float32Array(inputs).fill(1), [1, inputs]);
  const results = { y: hostTensor(new Float32Array(outputs), [1, outputs]) };
  let best = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 6; run++) {
    const start = process.cpuUsage();
    await session.run({ x, ...feeds }, results);
    const { user, system } = process.cpuUsage(start);
    best = Math.min(best, (user + system) / 1e6);
  }
  return best;
};

/** Processor seconds of a step for making float32 of a Q4_0 base: every matrix, forward and backward. */
export const dequantiseSeconds = async (runtime: Runtime, config: ModelConfig): Promise<number> => {
  const forms = formsFor(config, { precision: 'float32', storedAs: () => 'Q4_0' });
  let layer = 0;
  for (const { slot, shape } of layerTensors(config)) {
    const form = forms.get(slot)?.train;
    if (!(slot in matrixSites) || !form) continue;
    const packed = await productSeconds(runtime, form, matrixShape(shape));
    layer += packed - (await productSeconds(runtime, { kind: 'float32' }, matrixShape(shape)));
  }
  return 2 * layer * config.num_hidden_layers;
};
