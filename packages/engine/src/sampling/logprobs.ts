// Log-probabilities of the model's own distribution (temperature 1, no bias, no penalty), natural log.
import { logSumExp, topCandidates } from './softmax.ts';

export type TokenLogprobPair = readonly [token: number, logprob: number];

/** The `count` most likely tokens of a row of logits, best first. */
export function topLogprobs(row: Float32Array, count: number): TokenLogprobPair[] {
  const total = logSumExp(row);
  const { tokens, logits } = topCandidates(row, count);
  return Array.from(tokens, (token, i) => [token, (logits[i] as number) - total]);
}

/** Log-probabilities of exactly these tokens; −Infinity is told as the lowest finite double for JSON's sake. */
export function logprobsOf(row: Float32Array, tokens: readonly number[]): number[] {
  const total = logSumExp(row);
  return tokens.map((token) => Math.max((row[token] ?? -Infinity) - total, -Number.MAX_VALUE));
}

/** A token's own log-probability and the `count` best, with one sum over the row. */
export function tokenLogprobs(
  row: Float32Array,
  token: number,
  count: number,
): { readonly own: number; readonly top: TokenLogprobPair[] } {
  const total = logSumExp(row);
  const { tokens, logits } = topCandidates(row, count);
  return {
    own: Math.max((row[token] ?? -Infinity) - total, -Number.MAX_VALUE),
    top: Array.from(tokens, (id, i) => [id, (logits[i] as number) - total]),
  };
}
