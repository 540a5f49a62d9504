// Decides how many tokens of each sequence one step feeds. Pure: sequences that generate come first with
// their one token; prompts share what is left of the batch, the shorter served whole (max-min fairness),
// so a long prompt neither stalls the streams nor keeps a short one waiting.
import { wantsRow, type Slot } from './sequence-task.ts';
import type { PlannedFeed } from './step-feed.ts';

export interface StepLimits {
  /** Tokens of one step. */
  readonly tokens: number;
  /** Rows of logits of one step. */
  readonly outputs: number;
}

const pending = (slot: Slot): number => slot.task.tokens.length - slot.fed;

/** How many of `count` tokens can be fed before `outputs` rows are used up, and the rows they use. */
function withinOutputs(
  slot: Slot,
  count: number,
  outputs: number,
): { count: number; used: number } {
  let used = 0;
  for (let i = 0; i < count; i++) {
    if (!wantsRow(slot, slot.fed + i)) continue;
    if (used === outputs) return { count: i, used };
    used++;
  }
  return { count, used };
}

/** Feeds of one step in order of `slots`' pending tokens, fewest first; sums keep within the limits. */
export function planStep(slots: readonly Slot[], limits: StepLimits): PlannedFeed[] {
  const waiting = slots
    .filter((slot) => pending(slot) > 0)
    .toSorted((a, b) => pending(a) - pending(b));
  const plan: PlannedFeed[] = [];
  let { tokens, outputs } = limits;
  for (const [i, slot] of waiting.entries()) {
    if (tokens === 0) break;
    const share = Math.max(1, Math.floor(tokens / (waiting.length - i)));
    const { count, used } = withinOutputs(slot, Math.min(pending(slot), share), outputs);
    if (count === 0) continue;
    plan.push({ slot, count, drafts: [] });
    tokens -= count;
    outputs -= used;
  }
  return plan;
}
