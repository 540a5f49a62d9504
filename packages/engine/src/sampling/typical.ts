// Locally typical sampling (Meister, Pimentel, Wiher, Cotterell 2022): keeps the tokens whose surprise
// −ln p is nearest to the entropy of the distribution, as few as hold a share of its mass. The likeliest
// token may be among those that go.
import {
  maximum,
  sumOfExponentials,
  toCandidates,
  tokensBetween,
  type Candidates,
} from './softmax.ts';

/** Tokens by distance from the entropy, nearest first; equal ones by id. Keeps as few as hold `share`. */
function nearest(
  tokens: readonly number[],
  logprob: (token: number) => number,
  { entropy, share }: { readonly entropy: number; readonly share: number },
): number[] {
  const distance = (token: number): number => Math.abs(logprob(token) + entropy);
  const sorted = tokens.toSorted((a, b) => distance(a) - distance(b) || a - b);
  let sum = 0;
  const size = sorted.findIndex((token) => (sum += Math.exp(logprob(token))) > share);
  return size < 0 ? sorted : sorted.slice(0, size + 1);
}

/** Of candidates, whose probabilities are taken among themselves; all of them when `share` is 1. */
export function typicalCandidates(candidates: Candidates, share: number): Candidates {
  const { tokens, logits } = candidates;
  if (share >= 1 || tokens.length === 0) return candidates;
  const max = logits[0] as number;
  const total = max + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - max), 0));
  const entropy = logits.reduce((sum, logit) => sum - Math.exp(logit - total) * (logit - total), 0);
  const places = Array.from(tokens, (_, i) => i);
  const kept = nearest(places, (place) => (logits[place] as number) - total, { entropy, share });
  // Best first again: places are in that order.
  kept.sort((a, b) => a - b);
  return {
    tokens: Int32Array.from(kept, (place) => tokens[place] as number),
    logits: Float64Array.from(kept, (place) => logits[place] as number),
  };
}

/** Shared by all rows: they come one after the other. */
let scratch = new Float64Array(0);

/** ln Σ e^logit of a row, and the entropy of its softmax in nats. */
function totalAndEntropy(row: Float32Array): { total: number; entropy: number } {
  if (scratch.length !== row.length) scratch = new Float64Array(row.length);
  const max = maximum(row);
  const sum = sumOfExponentials(row, max, { weights: scratch });
  const total = max + Math.log(sum);
  let weighted = 0;
  for (let i = 0; i < row.length; i++) {
    const weight = scratch[i] as number;
    if (weight > 0) weighted += weight * (total - (row[i] as number));
  }
  return { total, entropy: weighted / sum };
}

/** Of a whole row [vocabulary], without sorting it: a window around the entropy widens until it holds enough. */
export function typicalOfRow(row: Float32Array, share: number): Candidates {
  const { total, entropy } = totalAndEntropy(row);
  const logprob = (token: number): number => (row[token] as number) - total;
  const middle = total - entropy;
  for (let width = 0.5; ; width *= 2) {
    const window = tokensBetween(row, middle - width, middle + width);
    const mass = window.reduce((sum, token) => sum + Math.exp(logprob(token)), 0);
    // Beyond 64 nothing weighs anything: the share is as good as everything.
    if (mass <= share && width < 128) continue;
    return toCandidates(nearest(window, logprob, { entropy, share }), row);
  }
}
