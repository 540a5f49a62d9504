// Bytes that a frozen base takes in memory, counted from the same forms that hold it.
import { expectedTensors, type ModelConfig } from '@corral/formats';
import type { DType, Shape } from '../../graph/value.ts';
import { elementCount } from '../../graph/value.ts';
import { layerTensors } from '../llama.ts';
import { embeddingSlot } from '../model-tensors.ts';
import type { BaseStorage } from './choose-forms.ts';
import { formsFor } from './choose-forms.ts';
import type { MatrixForms } from './frozen-matrix.ts';
import { matrixShape } from './frozen-matrix.ts';
import { formTensors } from './weight-form.ts';

const elementBytes: Record<DType, number> = { float32: 4, int64: 8, int8: 1, uint8: 1 };

const matrixBytes = (slot: string, { exact, train }: MatrixForms, shape: Shape): number =>
  [...new Set([exact, train])]
    .flatMap((form) => formTensors(slot, form, matrixShape(shape)))
    .reduce((sum, tensor) => sum + elementBytes[tensor.dtype] * elementCount(tensor.shape), 0);

/** Matrices in their forms, everything else in float32. */
export const frozenBaseBytes = (config: ModelConfig, storage: BaseStorage): number => {
  const forms = formsFor(config, storage);
  const bytes = (slot: string, shape: Shape): number => {
    const form = forms.get(slot);
    return form ? matrixBytes(slot, form, shape) : 4 * elementCount(shape);
  };
  const layer = layerTensors(config).reduce((sum, { slot, shape }) => sum + bytes(slot, shape), 0);
  const outside = [...expectedTensors(config)]
    .filter(([name]) => !name.startsWith('model.layers.'))
    .map(([name, shape]) => bytes(name.startsWith('model.embed') ? embeddingSlot : name, shape));
  return config.num_hidden_layers * layer + outside.reduce((sum, part) => sum + part, 0);
};
