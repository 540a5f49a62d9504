// Which adapters of a step share a decode. Together they share the reading of the base's weights, but a stack
// computes A·x of all its ranks for every token; so few tokens of many adapters go together and long prompts
// of different adapters apart. Costs are counted in tokens of the base in a full batch. Pure.

/** Tokens of a step that want one adapter; `ranks` 0 = the base alone. */
export interface AdapterShare {
  readonly tokens: number;
  readonly ranks: number;
}

export interface GroupCosts {
  /** What a rank of a stack costs for a token: its multiplications over those of the base. */
  readonly rank: number;
  /** What a decode costs beside its tokens. */
  readonly decode: number;
  /** What it costs to change the stack: llama.cpp reserves its graphs again, weights are copied. */
  readonly change: number;
}

export interface GroupLimits {
  /** Ranks of the largest stack. */
  readonly ranks: number;
  /** Ranks of the stack that so many need. */
  stackSize(ranks: number): number;
}

/**
 * A decode of few tokens costs as if it had this many more: the weights are read for each. Measured on two
 * cores: 8 tokens 46 ms, 32 tokens 98 ms (135M, Q8_0).
 */
export const decodeTokens = 7;

const stacked = (ranks: number, { stackSize }: GroupLimits): number =>
  ranks === 0 ? 0 : stackSize(ranks);

/** Groups of shares, each of which becomes a decode; the shares of fewest tokens first. */
export function groupShares<Share extends AdapterShare>(
  shares: readonly Share[],
  costs: GroupCosts,
  limits: GroupLimits,
): Share[][] {
  const groups: { members: Share[]; tokens: number; ranks: number }[] = [];
  for (const share of shares.toSorted((a, b) => a.tokens - b.tokens)) {
    const group = groups.at(-1);
    if (!group) {
      groups.push({ members: [share], tokens: share.tokens, ranks: share.ranks });
      continue;
    }
    const tokens = group.tokens + share.tokens;
    const ranks = group.ranks + share.ranks;
    const together = tokens * stacked(ranks, limits);
    const apart =
      group.tokens * stacked(group.ranks, limits) + share.tokens * stacked(share.ranks, limits);
    const extra = costs.rank * (together - apart);
    if (ranks <= limits.ranks && extra <= costs.decode + costs.change) {
      group.members.push(share);
      group.tokens = tokens;
      group.ranks = ranks;
    } else {
      groups.push({ members: [share], tokens: share.tokens, ranks: share.ranks });
    }
  }
  return groups.map(({ members }) => members);
}
