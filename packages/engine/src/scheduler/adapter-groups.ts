// Which adapters of a step share a decode. Together they share the reading of the base's weights, but a stack
// computes A·x of all its ranks for every token; so few tokens of many adapters go together and long prompts
// of different adapters apart. Costs are counted in tokens of the base in a full batch. Pure.

/** Tokens of a step that want one adapter; `ranks` 0 = the base alone. */
export interface AdapterShare {
  readonly tokens: number;
  readonly ranks: number;
}

export interface GroupCosts {
  /** What a rank of a stack costs for a token. */
  readonly rank: number;
  /** What it costs to change the stack: llama.cpp reserves its graphs again, weights are copied. */
  readonly change: number;
  /** Ranks of the stack that so many need; Infinity where there is none. */
  stackSize(ranks: number): number;
}

/**
 * A decode costs as if it had this many more tokens: the weights are read for each. Measured on one core with
 * 135M in Q8_0: 8 tokens 46 ms, 32 tokens 98 ms.
 */
export const decodeTokens = 13;

/**
 * The groups, each of which becomes a decode, that cost least together among those that keep the order of
 * their tokens' number; those of fewest tokens first.
 */
export function groupShares<Share extends AdapterShare>(
  shares: readonly Share[],
  costs: GroupCosts,
): Share[][] {
  const sorted = shares.toSorted((a, b) => a.tokens - b.tokens);
  // The best way to group the first i shares: its cost, and where its last group begins.
  const best = [{ cost: 0, start: 0 }];
  for (let end = 1; end <= sorted.length; end++) {
    let found = { cost: Number.POSITIVE_INFINITY, start: end - 1 };
    let tokens = 0;
    let ranks = 0;
    for (let start = end - 1; start >= 0; start--) {
      tokens += sorted[start]?.tokens ?? 0;
      ranks += sorted[start]?.ranks ?? 0;
      const stack = ranks === 0 ? 0 : costs.stackSize(ranks);
      const decode = decodeTokens + costs.change + tokens * (1 + costs.rank * stack);
      const cost = (best[start]?.cost ?? 0) + decode;
      if (cost < found.cost) found = { cost, start };
    }
    best.push(found);
  }
  const groups: Share[][] = [];
  for (let end = sorted.length; end > 0; end = best[end]?.start ?? 0)
    groups.unshift(sorted.slice(best[end]?.start, end));
  return groups;
}
