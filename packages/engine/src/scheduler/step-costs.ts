// What a decode of so many tokens costs on this machine, learnt from the decodes themselves. The curve is
// not straight (135M in Q8_0 on one core: 1 token 7 ms, 8 tokens 55, 16 tokens 58), so it is kept as points
// at powers of two with lines between them. Knows only counts and times.

/** Powers of two up to 65,536 tokens. */
const points = 17;
/** Weight of a new measurement: follows a machine whose neighbours come and go, ignores one hiccup. */
const weight = 0.25;

export interface StepCosts {
  /** A decode of `tokens` took `ms`. */
  record(tokens: number, ms: number): void;
  /** Expected milliseconds; 0 while nothing is known. */
  estimate(tokens: number): number;
  /** Tokens of the largest decode that is expected to stay within `ms`, at most `limit`; 0 if none does. */
  within(ms: number, limit: number): number;
}

export function createStepCosts(): StepCosts {
  /** Milliseconds at 2^i tokens. */
  const known: (number | undefined)[] = Array.from({ length: points });

  /** A point, or what its nearest neighbours say: more tokens cost more, but less each. */
  function at(i: number): number {
    const own = known[i];
    if (own !== undefined) return own;
    for (let distance = 1; distance < points; distance++) {
      const below = known[i - distance];
      if (below !== undefined) return below * 1.8 ** distance;
      const above = known[i + distance];
      if (above !== undefined) return above / 1.8 ** distance;
    }
    return 0;
  }

  function estimate(tokens: number): number {
    const place = Math.min(points - 1.001, Math.log2(Math.max(1, tokens)));
    const i = Math.floor(place);
    const share = tokens / 2 ** i - 1;
    return at(i) * (1 - share) + at(i + 1) * share;
  }

  return {
    record: (tokens, ms) => {
      if (tokens < 1 || ms <= 0) return;
      const i = Math.min(points - 1, Math.round(Math.log2(tokens)));
      const there = ms * (2 ** i / tokens);
      const before = known[i];
      known[i] = before === undefined ? there : before + (there - before) * weight;
    },
    estimate,
    within: (ms, limit) => {
      let low = 0;
      let high = limit;
      while (low < high) {
        const middle = Math.ceil((low + high) / 2);
        if (estimate(middle) <= ms) low = middle;
        else high = middle - 1;
      }
      return low;
    },
  };
}
