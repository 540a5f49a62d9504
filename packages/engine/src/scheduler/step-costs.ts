// What a decode of so many tokens costs on this machine, learnt from the decodes themselves. The curve is
// not straight (135M in Q8_0 on one core: 1 token 7 ms, 8 tokens 55, 16 tokens 58), so it is kept as points
// at powers of two with lines between them. Knows only counts and times.

/** Powers of two up to 65,536 tokens. */
const points = 17;
/** Twice the tokens cost so much more where nothing else is known: more, but less each. */
const usualStep = 1.8;
/** Weight of a new measurement: follows a machine whose neighbours come and go, ignores one hiccup. */
const weight = 0.25;
/** A decode during which the process was frozen says little: it counts as at most so many times the expected. */
const mostOfExpected = 4;

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

  /** A point, or what its neighbours say: between two of them it grows evenly, beyond them by a usual step. */
  function at(i: number): number {
    let low = i;
    while (low >= 0 && known[low] === undefined) low--;
    let high = i;
    while (high < points && known[high] === undefined) high++;
    const [below, above] = [known[low], known[high]];
    if (below === undefined) return above === undefined ? 0 : above / usualStep ** (high - i);
    if (above === undefined) return below * usualStep ** (i - low);
    return low === high ? below : below * (above / below) ** ((i - low) / (high - low));
  }

  function estimate(tokens: number): number {
    const place = Math.min(points - 1.001, Math.log2(Math.max(1, tokens)));
    const i = Math.floor(place);
    const share = tokens / 2 ** i - 1;
    return at(i) * (1 - share) + at(i + 1) * share;
  }

  return {
    record: (tokens, measured) => {
      if (tokens < 1 || measured <= 0) return;
      const ms = Math.min(measured, mostOfExpected * estimate(tokens) || Infinity);
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
