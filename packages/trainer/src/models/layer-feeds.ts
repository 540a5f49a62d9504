// The tensors that a batch feeds to the layers beside weights and activations.
import type { ModelConfig } from '@corral/formats';
import type { HostTensor, HostTensors, Session } from '../runtime/runtime.ts';
import { hostTensor } from '../runtime/runtime.ts';
import type { RowGroup } from './batch-layout.ts';
import { dropoutName, maskName } from './layer-graphs.ts';
import { dropoutSites, dropoutWidths } from './llama.ts';
import type { Key } from './random.ts';
import { deriveKey, fillDropout } from './random.ts';
import type { Workspace } from './workspace.ts';

/** Positions, angles and attention masks: the same for every layer. */
export const batchFeeds = (
  { shape, batch, masks, windows }: RowGroup,
  angles: HostTensors,
): HostTensors => {
  const { rows, steps } = shape;
  const feeds: Record<string, HostTensor> = {
    ...angles,
    positions: hostTensor(BigInt64Array.from(batch.positions, BigInt), [rows, steps]),
  };
  for (const [i, { queries, keys }] of windows.entries()) {
    const extent = [rows, 1, queries[1] - queries[0], keys[1] - keys[0]];
    feeds[maskName(i)] = hostTensor(masks[i] ?? new Float32Array(), extent);
  }
  return feeds;
};

export interface DropoutOptions {
  readonly config: ModelConfig;
  readonly probability: number;
  readonly layer: number;
  readonly key: Key;
  readonly workspace: Workspace;
}

/**
 * The dropout masks of one layer, a function of key, layer, site and row of the batch. Made again for
 * the backward pass instead of kept: they would be larger than the activations.
 */
export const dropoutFeeds = (
  { shape, firstRow }: RowGroup,
  { config, probability, layer, key, workspace }: DropoutOptions,
): HostTensors => {
  if (probability === 0) return {};
  const { rows, steps } = shape;
  const widths = dropoutWidths(config);
  const feeds: Record<string, HostTensor> = {};
  for (const [index, site] of dropoutSites.entries()) {
    const length = steps * widths[site];
    const mask = workspace.floats(dropoutName(site), rows * length);
    const siteKey = deriveKey(key, layer, index);
    for (let row = 0; row < rows; row++) {
      const part = mask.subarray(row * length, (row + 1) * length);
      fillDropout(siteKey, part, { probability, stream: firstRow + row });
    }
    feeds[dropoutName(site)] = hostTensor(mask, [rows * steps, widths[site]]);
  }
  return feeds;
};

/** Of all tensors at hand, those that the session takes. */
export const select = (session: Session, ...sources: readonly HostTensors[]): HostTensors => {
  const feeds: Record<string, HostTensor> = {};
  for (const { name } of session.inputs) {
    const tensor = sources.find((source) => name in source)?.[name];
    if (!tensor) throw new TypeError(`nothing feeds ${name}`);
    feeds[name] = tensor;
  }
  return feeds;
};
