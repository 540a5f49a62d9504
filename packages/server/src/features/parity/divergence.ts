// How far two next-token distributions are apart, when of one of them only the most likely tokens are
// known. Pure arithmetic; knows neither models nor files.

/** Below this a probability is rounding of the sum of the others. */
const smallest = 1e-9;

/**
 * KL(P ‖ Q) in nats over the tokens that P lists and one bucket for all the rest:
 *
 *   Σ_i p_i (ln p_i − ln q_i)  +  p_rest (ln p_rest − ln q_rest),   p_rest = 1 − Σ p_i, q_rest likewise.
 *
 * Merging outcomes into a bucket can only lower the divergence (the data-processing inequality; Cover and
 * Thomas, Elements of Information Theory, 2.8), so this is a lower bound of the whole KL that misses only
 * differences inside the rest. `p` and `q`: natural logarithms for the same tokens in the same order.
 */
export function bucketedKl(p: readonly number[], q: readonly number[]): number {
  if (p.length !== q.length) throw new Error(`${p.length} against ${q.length} log-probabilities`);
  let divergence = 0;
  let pRest = 1;
  let qRest = 1;
  for (const [i, logP] of p.entries()) {
    const logQ = q[i] ?? Number.NEGATIVE_INFINITY;
    const probability = Math.exp(logP);
    pRest -= probability;
    qRest -= Math.exp(logQ);
    if (probability > 0) divergence += probability * (logP - Math.max(logQ, Math.log(smallest)));
  }
  pRest = Math.max(pRest, smallest);
  qRest = Math.max(qRest, smallest);
  return Math.max(divergence + pRest * Math.log(pRest / qRest), 0);
}
