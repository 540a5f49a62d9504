// Which columns the int8 products of a frozen base leave in float32: those whose values are largest when
// the model reads a few tokens of its own vocabulary. A few features of a transformer are large whatever
// it reads (Dettmers et al. 2022, arXiv:2208.07339), so the choice needs no data of the run and is a
// function of the base alone; a resumed run makes it again.
import type { ModelConfig } from '@corral/formats';
import type { RuntimeOptions } from '../runtime/runtime.ts';
import { createRuntime } from '../runtime/runtime.ts';
import { rowGroups, singleRow } from './batch-layout.ts';
import { createDecoderStack } from './decoder-stack.ts';
import { embedRows } from './embedding.ts';
import { matrixSites } from './llama.ts';
import type { ModelTensors } from './model-tensors.ts';
import { isMatrix } from './model-tensors.ts';
import { deriveKey } from './random.ts';
import { setOutliers } from './weight-forms/frozen-matrix.ts';

/** Tokens that are read; more change the choice little. */
const probeTokens = 128;

const drawTokens = (vocabulary: number): Int32Array =>
  Int32Array.from(
    { length: probeTokens },
    (_, i) => (deriveKey([0, 0], i, 7)[0] >>> 0) % vocabulary,
  );

/** Indices of the `count` largest values, ascending; of equals the first. */
export const largestIndices = (values: Float32Array, count: number): number[] =>
  [...values.keys()]
    .toSorted((a, b) => (values[b] ?? 0) - (values[a] ?? 0) || a - b)
    .slice(0, count)
    .toSorted((a, b) => a - b);

/** Fills the outliers of all matrices in int8; does nothing when there are none. */
export const chooseOutliers = async (
  tensors: ModelTensors,
  { config, ...options }: RuntimeOptions & { readonly config: ModelConfig },
): Promise<void> => {
  if (![...tensors.forms.values()].some(({ train }) => train.kind === 'int8')) return;
  // Of its own, so that nothing of it stays.
  await using runtime = createRuntime(options);
  const stack = createDecoderStack({
    ...tensors,
    config,
    runtime,
    loraScale: 0,
    dropout: 0,
    recompute: true,
  });
  const tokens = drawTokens(config.vocab_size);
  const [group] = rowGroups(singleRow(tokens), config.sliding_window);
  if (!group) return;
  embedRows(tokens, tensors.embedding, stack.input(group));
  for (const [layer, peaks] of (await stack.measure(group)).entries()) {
    for (const [slot, tensor] of tensors.layers[layer] ?? []) {
      const site = matrixSites[slot];
      const form = tensors.forms.get(slot)?.train;
      if (!isMatrix(tensor) || !site || form?.kind !== 'int8') continue;
      const peak = peaks.get(site) ?? new Float32Array();
      setOutliers(tensor.matrix, largestIndices(peak, form.outliers));
    }
  }
};
