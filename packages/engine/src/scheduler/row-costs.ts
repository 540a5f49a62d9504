// What a decode of exactly so many rows of logits costs, learnt from the decodes themselves. The curve has
// steps that step-costs.ts smooths away: kernels take rows by four or by sixteen and compute what is left over
// one by one (135M in Q8_0 on one core: 1 row 7 ms, 2 rows 30, 7 rows 54, 8 rows 50, 16 rows 58). What is little
// known is thought to be cheap, so that it is tried; not always, so that a slow row is not tried for ever.

/** Beyond this the steps are small. */
export const mostKnownRows = 256;
/** Weight of a new measurement. */
const weight = 0.25;
/** Twice the rows mostly cost 1.8 times as much. */
const usualGrowth = Math.log2(1.8);
/** Measurements until a figure is believed; the first of a new shape is often slow. */
const enough = 2;
/** What is unknown may be so much cheaper than its neighbours; whole tiles more so. */
const hopeOfTile = 0.85;
const hopeOfOther = 0.95;
/** So many decodes later a figure may be out of date, and the more so with every as many. */
const staleAfter = 400;
const hopeOfStale = 0.92;
/** A decode during which the process was frozen says little: it counts as at most so many times the expected. */
const mostOfExpected = 4;

interface Known {
  readonly ms: number;
  readonly times: number;
  readonly at: number;
}

export interface RowCosts {
  /** A decode of `rows` rows, each with logits, took `ms`. */
  record(rows: number, ms: number): void;
  /** Expected milliseconds; 0 while nothing is known. */
  estimate(rows: number): number;
  /** What it may take if it goes well. */
  atBest(rows: number): number;
}

export function createRowCosts(): RowCosts {
  const known: (Known | undefined)[] = Array.from({ length: mostKnownRows + 1 });
  let decodes = 0;

  /** Between neighbours that are known on a line, beyond them by the usual growth. */
  function estimate(rows: number): number {
    const own = known[rows];
    if (own) return own.ms;
    let below = Math.min(rows, mostKnownRows);
    while (below > 0 && !known[below]) below--;
    let above = rows;
    while (above <= mostKnownRows && !known[above]) above++;
    const [low, high] = [known[below]?.ms, known[above]?.ms];
    if (low !== undefined && high !== undefined)
      return low + ((high - low) * (rows - below)) / (above - below);
    if (low !== undefined) return low * (rows / below) ** usualGrowth;
    return high ?? 0;
  }

  /** How often a figure has become stale since it was measured. */
  const periods = (own: Known | undefined): number =>
    own ? Math.floor((decodes - own.at) / staleAfter) : 0;

  return {
    record: (rows, measured) => {
      decodes++;
      if (rows < 1 || rows > mostKnownRows || measured <= 0) return;
      const ms = Math.min(measured, mostOfExpected * estimate(rows) || Infinity);
      const before = known[rows];
      const times = (before?.times ?? 0) + 1;
      const better = before ? before.ms + (ms - before.ms) * weight : ms;
      const isBelieved = times > enough && periods(before) === 0;
      known[rows] = { ms: isBelieved ? better : Math.min(better, ms), times, at: decodes };
    },
    estimate,
    atBest: (rows) => {
      const own = known[rows];
      const hope = rows % 4 === 0 ? hopeOfTile : hopeOfOther;
      if (!own || own.times < enough) return estimate(rows) * hope;
      return own.ms * hopeOfStale ** periods(own);
    },
  };
}
