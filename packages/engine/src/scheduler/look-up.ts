// Guesses what comes next by looking the last tokens up in the text so far (prompt look-up decoding,
// A. Saxena 2023): what followed them before follows them again where a model copies. Pure.

export interface LookUp {
  /** Where the tokens stand that followed last time. */
  readonly from: number;
  /** How many of the last tokens are the same there. */
  readonly matched: number;
}

/** Fewer equal tokens say nothing. */
const shortestMatch = 2;
/** Longer matches say no more. */
const longestMatch = 32;

/** The latest of the longest matches of the end of `tokens`; null when there is none. */
export function lookUp(tokens: readonly number[]): LookUp | null {
  const end = tokens.length;
  const last = tokens[end - 1];
  let best: LookUp | null = null;
  for (let from = end - 1; from >= shortestMatch; from--) {
    if (tokens[from - 1] !== last) continue;
    let matched = 1;
    const most = Math.min(longestMatch, from);
    while (matched < most && tokens[from - 1 - matched] === tokens[end - 1 - matched]) matched++;
    if (matched < shortestMatch || matched <= (best?.matched ?? 0)) continue;
    best = { from, matched };
    if (matched === longestMatch) break;
  }
  return best;
}

/** Up to `most` tokens that followed. Where a text repeats itself they may reach into what was guessed. */
export function follow(tokens: readonly number[], { from }: LookUp, most: number): number[] {
  const guesses: number[] = [];
  const period = tokens.length - from;
  for (let i = 0; i < most; i++) guesses.push(tokens[from + (i % period)] as number);
  return guesses;
}
