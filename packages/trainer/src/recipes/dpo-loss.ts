// The loss of Direct Preference Optimisation (Rafailov et al. 2023, arXiv:2305.18290, equation 7) as a
// function of four numbers a pair: the negative log-likelihoods of both answers, by the policy and by the
// reference. Its derivative is a weight on each answer's likelihood, so the model needs to know nothing of
// it. Pure.
import type { PairLosses, PairOutcome } from './pair-step.ts';

/** log(1 + eˣ) without overflow. */
const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/**
 * One pair: margin = β · (log-ratio of the chosen answer − log-ratio of the rejected one), loss = −log σ(margin).
 * With policy = reference the margin is 0 and the loss log 2.
 */
export function pairOutcome(
  policy: PairLosses,
  reference: PairLosses,
  { beta }: { readonly beta: number },
): PairOutcome {
  const margin = beta * (reference.chosen - policy.chosen - (reference.rejected - policy.rejected));
  // β · σ(−margin)
  const weight = beta / (1 + Math.exp(margin));
  return { loss: softplus(-margin), margin, weights: { chosen: weight, rejected: -weight } };
}
