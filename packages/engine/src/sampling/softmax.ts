// Exponentials over a whole vocabulary, several times a step: sums, log-probabilities, the best few.
// Pure functions over one row of logits; nothing is changed. NaN counts as minus infinity.

/** Below this distance from the maximum a token weighs less than e^-40 and is left out of sums. */
const negligible = 40;
const stepsPerUnit = 64;
const table = Float64Array.from({ length: negligible * stepsPerUnit + 1 }, (_, i) =>
  Math.exp(-i / stepsPerUnit),
);

/**
 * e^x for −40 < x ≤ 0: a table of 1/64 steps and a polynomial of degree 4 for the rest (relative error
 * < 1e-11). Five times as fast as Math.exp, which would cost more than all other sampling together.
 */
function expNegative(x: number): number {
  const step = (-x * stepsPerUnit) | 0;
  const r = x + step / stepsPerUnit;
  const power = 1 + r * (1 + r * (0.5 + r * (1 / 6 + r * (1 / 24))));
  return (table[step] ?? 0) * power;
}

/** Largest value of a row, −Infinity when there is none. */
export function maximum(row: Float32Array): number {
  let best = -Infinity;
  for (let i = 0; i < row.length; i++) {
    const value = row[i] as number;
    if (value > best) best = value;
  }
  return best;
}

/**
 * Index of the first largest value, −1 when every value is NaN or −Infinity. Eight maxima side by side, then
 * a search: the loop that remembers the index is four times slower once V8 inlines it into the sampler.
 */
export function argmax(row: Float32Array): number {
  let a = -Infinity;
  let b = -Infinity;
  let c = -Infinity;
  let d = -Infinity;
  let e = -Infinity;
  let f = -Infinity;
  let g = -Infinity;
  let h = -Infinity;
  const whole = row.length - (row.length % 8);
  for (let i = 0; i < whole; i += 8) {
    const va = row[i] as number;
    const vb = row[i + 1] as number;
    const vc = row[i + 2] as number;
    const vd = row[i + 3] as number;
    const ve = row[i + 4] as number;
    const vf = row[i + 5] as number;
    const vg = row[i + 6] as number;
    const vh = row[i + 7] as number;
    if (va > a) a = va;
    if (vb > b) b = vb;
    if (vc > c) c = vc;
    if (vd > d) d = vd;
    if (ve > e) e = ve;
    if (vf > f) f = vf;
    if (vg > g) g = vg;
    if (vh > h) h = vh;
  }
  let best = Math.max(a, b, c, d, e, f, g, h);
  for (let i = whole; i < row.length; i++) {
    const value = row[i] as number;
    if (value > best) best = value;
  }
  return best === -Infinity ? -1 : row.indexOf(best);
}

/** Σ e^((row[i] − max) · scale); with `weights` (same length) each term is kept there. */
export function sumOfExponentials(
  row: Float32Array,
  max: number,
  { scale = 1, weights }: { readonly scale?: number; readonly weights?: Float64Array } = {},
): number {
  let sum = 0;
  weights?.fill(0);
  const limit = max - negligible / scale;
  for (let i = 0; i < row.length; i++) {
    const value = row[i] as number;
    if (value > limit) {
      const weight = expNegative((value - max) * scale);
      sum += weight;
      if (weights) weights[i] = weight;
    }
  }
  return sum;
}

/** ln Σ e^row[i]: subtract it from a logit to get the natural log-probability. */
export function logSumExp(row: Float32Array): number {
  const max = maximum(row);
  return max + Math.log(sumOfExponentials(row, max));
}

/** Tokens with their logits, best first; equal logits in order of token id. */
export interface Candidates {
  readonly tokens: Int32Array;
  readonly logits: Float64Array;
}

/** `tokens` with their logits, sorted. */
export function toCandidates(tokens: number[], row: Float32Array): Candidates {
  const logit = (token: number): number => row[token] as number;
  tokens.sort((a, b) => logit(b) - logit(a) || a - b);
  return { tokens: Int32Array.from(tokens), logits: Float64Array.from(tokens, logit) };
}

/** Tokens whose logit lies between `low` and `high`, both excluded. */
export function tokensBetween(row: Float32Array, low: number, high: number): number[] {
  const tokens: number[] = [];
  for (let i = 0; i < row.length; i++) {
    const logit = row[i] as number;
    if (logit > low && logit < high) tokens.push(i);
  }
  return tokens;
}

/** Every token above `limit` (exclusive). */
export function candidatesAbove(row: Float32Array, limit: number): Candidates {
  const tokens: number[] = [];
  for (let i = 0; i < row.length; i++) if ((row[i] as number) > limit) tokens.push(i);
  return toCandidates(tokens, row);
}

/** The `count` best tokens (fewer when others are −Infinity or NaN). One pass with a small heap. */
export function topCandidates(row: Float32Array, count: number): Candidates {
  const size = Math.min(count, row.length);
  if (size === 0) return toCandidates([], row);
  const heapLogits = new Float64Array(size).fill(-Infinity);
  const heapTokens = new Int32Array(size).fill(-1);
  // A binary heap with the worst kept candidate on top; ties keep the lower token id, met first.
  let worst = -Infinity;
  for (let i = 0; i < row.length; i++) {
    const value = row[i] as number;
    if (!(value > worst)) continue;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      const right = child + 1;
      if (right < size && isWorse(heapLogits, heapTokens, right, child)) child = right;
      const childLogit = heapLogits[child] as number;
      if (childLogit >= value) break;
      heapLogits[at] = childLogit;
      heapTokens[at] = heapTokens[child] as number;
      at = child;
    }
    heapLogits[at] = value;
    heapTokens[at] = i;
    worst = heapLogits[0] as number;
  }
  return toCandidates(
    [...heapTokens].filter((token) => token >= 0),
    row,
  );
}

/** Orders heap entries: the lower logit is worse, among equals the later token. */
function isWorse(logits: Float64Array, tokens: Int32Array, a: number, b: number): boolean {
  const [x, y] = [logits[a] as number, logits[b] as number];
  return x < y || (x === y && (tokens[a] as number) > (tokens[b] as number));
}
