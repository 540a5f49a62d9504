// What the methods differ in, as far as others than their recipes must know it.
import type { TrainingMethod } from '@corral/contracts';

export interface MethodTraits {
  /** Only LoRA matrices are trained and handed out; the base is frozen. */
  readonly trainsAdapter: boolean;
  /** Examples that one item of training is made of: a preference pair is two, the better first. */
  readonly examplesPerItem: 1 | 2;
}

export const methodTraits: Record<TrainingMethod, MethodTraits> = {
  lora: { trainsAdapter: true, examplesPerItem: 1 },
  qlora: { trainsAdapter: true, examplesPerItem: 1 },
  full: { trainsAdapter: false, examplesPerItem: 1 },
  pretrain: { trainsAdapter: false, examplesPerItem: 1 },
  dpo: { trainsAdapter: true, examplesPerItem: 2 },
};
