// Draws one token from a row of logits. Order: bias and penalties, top_k, typical_p, top_p, min_p,
// temperature, draw: llama.cpp's order, with top_k first because everything after it is then cheap. Where
// top_k is off the same sets are found by partial selection, never by sorting the vocabulary.
import type { Sampling } from '@corral/contracts';
import { createLogitAdjuster, type LogitAdjusterOptions } from './penalties.ts';
import { createRandom, type Random } from './random.ts';
import { typicalCandidates, typicalOfRow } from './typical.ts';
import {
  argmax,
  candidatesAbove,
  maximum,
  sumOfExponentials,
  topCandidates,
  type Candidates,
} from './softmax.ts';

/** What an answer in a format allows as its next token. */
interface SampleConstraint {
  allows(token: number): boolean;
  /** One bit a token, set when it is allowed. */
  mask(): Uint32Array;
}

export interface Sampler {
  /**
   * A token id for logits [vocabulary] (not changed); −1 when no logit that is allowed is finite. The
   * token is drawn first and held against the constraint then: only when it is refused are all others
   * masked and another drawn, which leaves every allowed token its share.
   */
  sample(row: Float32Array, constraint?: SampleConstraint | null): number;
}

type Truncation = Pick<Sampling, 'top_k' | 'typical_p' | 'top_p' | 'min_p'>;

const cut = ({ tokens, logits }: Candidates, size: number): Candidates => ({
  tokens: tokens.subarray(0, size),
  logits: logits.subarray(0, size),
});

/** How many of the sorted candidates hold `share` of `total`, the one that crosses the line included. */
function nucleusSize({ logits }: Candidates, max: number, share: number): number {
  let sum = 0;
  let size = 0;
  while (size < logits.length && sum < share) sum += Math.exp((logits[size++] as number) - max);
  return sum < share ? Infinity : size;
}

/** Candidates of which the nucleus is surely a part: the limit sinks until they hold enough. */
function nucleus(row: Float32Array, max: number, share: number): Candidates {
  for (let depth = 4; ; depth *= 2) {
    const candidates = candidatesAbove(row, depth > 64 ? -Infinity : max - depth);
    const size = nucleusSize(candidates, max, share);
    if (size <= candidates.tokens.length) return cut(candidates, size);
    if (depth > 64) return candidates; // Rounding: the share is as good as everything.
  }
}

/** Holtzman et al. 2020: the most likely of the candidates that hold `share` of their sum. */
function keepNucleus(candidates: Candidates, share: number): Candidates {
  if (share >= 1) return candidates;
  const max = candidates.logits[0] ?? -Infinity;
  const total = candidates.logits.reduce((sum, logit) => sum + Math.exp(logit - max), 0);
  return cut(candidates, nucleusSize(candidates, max, share * total));
}

/** Those at least `share` as likely as the best. */
function keepLikely(candidates: Candidates, share: number): Candidates {
  if (share === 0) return candidates;
  const limit = (candidates.logits[0] ?? -Infinity) + Math.log(share);
  const size = candidates.logits.findIndex((logit) => logit < limit);
  return size < 0 ? candidates : cut(candidates, Math.max(1, size));
}

/** The tokens that may be drawn, best first; null when nothing is cut away. */
export function truncate(
  row: Float32Array,
  { top_k, typical_p, top_p, min_p }: Truncation,
): Candidates | null {
  if (top_k > 0 && top_k < row.length) {
    const best = typicalCandidates(topCandidates(row, top_k), typical_p);
    return keepLikely(keepNucleus(best, top_p), min_p);
  }
  if (typical_p < 1) {
    const typical = typicalOfRow(row, typical_p);
    return keepLikely(keepNucleus(typical, top_p), min_p);
  }
  const max = maximum(row);
  if (top_p < 1) return keepLikely(nucleus(row, max, top_p * sumOfExponentials(row, max)), min_p);
  // Just below the limit, so that a token exactly at it stays.
  if (min_p > 0) return keepLikely(candidatesAbove(row, max + Math.log(min_p) - 1e-6), min_p);
  return null;
}

function drawIndex(weights: Float64Array, total: number, random: Random): number {
  let left = random() * total;
  let last = -1;
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i] as number;
    if (weight === 0) continue;
    last = i;
    left -= weight;
    if (left < 0) return i;
  }
  return last; // Rounding left a crumb: the last token that can be drawn.
}

/** Shared by all samplers of the process: they run one after the other. */
let scratch = new Float64Array(0);

/** The row with everything the mask leaves out at −Infinity. */
let masked = new Float32Array(0);

function applyMask(row: Float32Array, mask: Uint32Array): Float32Array {
  if (masked.length !== row.length) masked = new Float32Array(row.length);
  masked.fill(-Infinity);
  for (let word = 0; word < mask.length; word++)
    // Bit by bit, only those that are set: most masks are nearly empty or nearly full.
    for (let bits = mask[word] as number; bits !== 0; bits &= bits - 1) {
      const token = word * 32 + 31 - Math.clz32(bits & -bits);
      masked[token] = row[token] as number;
    }
  return masked;
}

/** Draws from the softmax of the logits divided by `temperature`. */
function draw(row: Float32Array, settings: Sampling, random: Random): number {
  const scale = 1 / settings.temperature;
  const candidates = truncate(row, settings);
  if (candidates) {
    const { tokens, logits } = candidates;
    const max = logits[0] ?? -Infinity;
    const weights = logits.map((logit) => Math.exp((logit - max) * scale));
    const index = drawIndex(
      weights,
      weights.reduce((sum, weight) => sum + weight, 0),
      random,
    );
    return tokens[index] ?? -1;
  }
  if (scratch.length !== row.length) scratch = new Float64Array(row.length);
  const total = sumOfExponentials(row, maximum(row), { scale, weights: scratch });
  return drawIndex(scratch, total, random);
}

/**
 * `settings.seed` makes the draws repeatable; without it they are random. Temperature 0 takes the most
 * likely token (the lowest id among equals).
 */
export function createSampler(settings: Sampling, options: LogitAdjusterOptions): Sampler {
  const adjuster = createLogitAdjuster(settings, options);
  const seed = settings.seed ?? crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  const random = createRandom(seed);
  const drawFrom = (row: Float32Array): number => {
    const best = argmax(row);
    if (!Number.isFinite(row[best])) return -1;
    return settings.temperature === 0 ? best : draw(row, settings, random);
  };
  return {
    sample: (row, constraint) => {
      const adjusted = adjuster.adjust(row);
      let token = drawFrom(adjusted);
      if (token >= 0 && constraint && !constraint.allows(token))
        token = drawFrom(applyMask(adjusted, constraint.mask()));
      if (token >= 0) adjuster.accept(token);
      return token;
    },
  };
}
