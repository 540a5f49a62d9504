// How much a LoRA product counts: alpha / rank (Hu et al. 2021, arXiv:2106.09685), or alpha / √rank, which keeps
// the size of its gradients where it is when the rank grows (Kalajdzievski 2023, arXiv:2312.03732).
import type { LoraOptions } from './causal-lm.ts';

/** The factor of B·A·x. */
export const loraScale = ({
  rank,
  alpha,
  use_rslora = false,
}: Pick<LoraOptions, 'rank' | 'alpha' | 'use_rslora'>): number =>
  alpha / (use_rslora ? Math.sqrt(rank) : rank);
