// Decides what the next decode feeds. Two kinds alternate: a small step (the token of every stream, with its
// guesses, and the ends of prompts) and a large step (pieces of prompts, equally long, since llama.cpp reads
// the weights again for every length). Short prompts come first; a long one that enters beside running
// streams gets no more of a step than keeps their tokens coming. Knows no native code.
import { largePiece, nextLargePiece, nextSmallPiece } from './prompt-cut.ts';
import { wantsRow, type Slot } from './sequence-task.ts';
import type { StepCosts } from './step-costs.ts';
import type { PlannedFeed } from './step-feed.ts';

export interface PlannedSlot extends Slot {
  /** Where its prompt passes from large pieces to small ones (prompt-cut.ts). */
  readonly cut: number;
  /** Tokens it began with: those behind are generated one by one. */
  readonly promptLength: number;
  /** Tokens of its prompt that were to be computed. */
  readonly promptTokens: number;
  /** Step of its admission. */
  readonly since: number;
  /** It waits for another sequence that computes what it needs. */
  readonly waiting: boolean;
}

export interface PlanLimits {
  /** Tokens of one decode. */
  readonly tokens: number;
  /** Rows of logits of one decode. */
  readonly outputs: number;
}

/** A step longer than this is felt as a stall, by whoever cancels too. */
const longestStepMs = 2000;
/**
 * Milliseconds of large steps in a row before streams get their turn: a burst of short prompts is read
 * through, so that its last is not made to wait for the answers of its first.
 */
const largeInARowMs = 2500;
/**
 * A prompt with so little left gives its first token for the price of a stream's: it does not share a step
 * with long pieces of others, which would make it wait for them.
 */
const nearlyRead = 8;
/** A prompt with more left than this is long: it may not stall streams. */
const longPrompt = 512;
/** Beside streams a long prompt gets this share of the time of their own step: tokens come at 1/2.7 of their rate. */
const gentleShare = 1.7;
/**
 * Where that is less than a large piece, one token in twenty waits for a larger one: the 95th percentile
 * does not see it. Small pieces would come out in other numbers than alone (prompt-cut.ts).
 */
const seldom = 21;
const seldomTokens = 128;
/** The longest wait for it where that gives more tokens. */
const seldomMs = 500;
/** Waiting makes a prompt look shorter by this much a step, so that short ones never starve a long one. */
const agingPerStep = 16;

const left = (slot: Slot): number => slot.task.tokens.length - slot.fed;
/** Only the token drawn last is missing. */
const streams = (slot: PlannedSlot): boolean => slot.fed >= slot.promptLength && left(slot) === 1;

/** How many of `count` tokens can be fed before `outputs` rows are used up, and the rows they use. */
function withinOutputs(slot: Slot, count: number, outputs: number) {
  let used = 0;
  for (let i = 0; i < count; i++) {
    if (!wantsRow(slot, slot.fed + i)) continue;
    if (used === outputs) return { count: i, used };
    used++;
  }
  return { count, used };
}

/** Collects feeds until tokens or rows are used up. */
function createFeeds(limits: PlanLimits) {
  const feeds: PlannedFeed[] = [];
  let { tokens, outputs } = limits;
  return {
    feeds,
    get tokens() {
      return tokens;
    },
    /** True when all of `wanted` tokens can be fed. */
    fits: (slot: Slot, wanted: number): boolean =>
      wanted <= tokens && withinOutputs(slot, wanted, outputs).count === wanted,
    add: (slot: Slot, wanted: number, guesses: readonly number[] = []): void => {
      const { count, used } = withinOutputs(slot, Math.min(wanted, tokens), outputs);
      if (count === 0) return;
      const drafts = guesses.slice(0, Math.max(0, Math.min(tokens - count, outputs - used)));
      feeds.push({ slot, count, drafts });
      tokens -= count + drafts.length;
      outputs -= used + drafts.length;
    },
  };
}

/** Prompts in the order they are served: the shortest rest first, those who wait long earlier. */
function inOrder(slots: readonly PlannedSlot[], step: number): PlannedSlot[] {
  const rank = (slot: PlannedSlot): number => left(slot) - agingPerStep * (step - slot.since);
  return slots.toSorted((a, b) => rank(a) - rank(b) || a.sequence - b.sequence);
}

/** Enough is left of its first part for a large piece. */
const isLarge = (slot: PlannedSlot): boolean => slot.cut - slot.fed >= largePiece;

const bySequence = (feeds: readonly PlannedFeed[]): PlannedFeed[] =>
  feeds.toSorted((a, b) => a.slot.sequence - b.slot.sequence);

/**
 * Equal pieces of half of the prompts that wait, if so many fit: together they take less time than one after
 * the other, but each gets its first token only when all are read. Halves are good for the middle and the last.
 */
function planLarge(prompts: readonly PlannedSlot[], limits: PlanLimits): PlannedFeed[] {
  const [first] = prompts;
  if (!first) return [];
  const piece = nextLargePiece(first.cut - first.fed, limits.tokens);
  const plan = createFeeds({ ...limits, tokens: Math.max(piece, limits.tokens) });
  for (const slot of prompts) {
    if (plan.tokens < piece || plan.feeds.length >= prompts.length / 2) break;
    // What is left behind it must be a large piece, too.
    const rest = slot.cut - slot.fed - piece;
    const isWhole = (rest === 0 || rest >= largePiece) && plan.fits(slot, piece);
    if (slot === first || isWhole) plan.add(slot, piece);
  }
  return bySequence(plan.feeds);
}

/** Every stream's token and guesses, and the ends of prompts. */
function planSmall(
  { running, tails: all, ends }: Prompts,
  limits: PlanLimits,
  draft: Draft,
): PlannedFeed[] {
  const plan = createFeeds(limits);
  const tails = ends.length > 0 ? ends : all;
  const guesses = tails.length === 0 ? draft(running) : null;
  for (const slot of running) plan.add(slot, 1, guesses?.get(slot));
  for (const slot of tails) plan.add(slot, nextSmallPiece(left(slot)));
  return bySequence(plan.feeds);
}

/** What is to be fed, by how it is fed. */
interface Prompts {
  readonly running: readonly PlannedSlot[];
  /** Less than a large piece is left of their first part. */
  readonly tails: readonly PlannedSlot[];
  /** Those of them whose first token is a few tokens away. */
  readonly ends: readonly PlannedSlot[];
  readonly short: readonly PlannedSlot[];
  /** They may not stall the running streams. */
  readonly long: readonly PlannedSlot[];
}

function sortOut(slots: readonly PlannedSlot[], step: number): Prompts {
  const ready = slots.filter((slot) => !slot.waiting && left(slot) > 0);
  const running = ready.filter(streams);
  const prompts = inOrder(
    ready.filter((slot) => !streams(slot)),
    step,
  );
  const large = prompts.filter(isLarge);
  const isShort = (slot: PlannedSlot): boolean =>
    running.length === 0 || slot.promptTokens <= longPrompt;
  const tails = prompts.filter((slot) => !isLarge(slot));
  return {
    running,
    tails,
    ends: tails.filter((slot) => slot.fed > 0 && left(slot) <= nearlyRead),
    short: large.filter(isShort),
    long: large.filter((slot) => !isShort(slot)),
  };
}

/** Guesses of what comes next, for streams where guessing pays. */
export type Draft = (running: readonly PlannedSlot[]) => Map<PlannedSlot, readonly number[]> | null;

export interface StepPlanner {
  /** Feeds of the next step, in order of their sequences; empty when nothing is to be fed. */
  next(slots: readonly PlannedSlot[]): PlannedFeed[];
}

export interface StepPlannerOptions {
  readonly limits: PlanLimits;
  readonly costs: StepCosts;
  readonly draft?: Draft;
}

export function createStepPlanner(options: StepPlannerOptions): StepPlanner {
  const { limits, costs, draft = () => null } = options;
  let step = 0;
  let smallSteps = 0;
  /** What the large steps since the last small one were expected to take. */
  let inARowMs = 0;

  /** Tokens of a long prompt that may be fed now, in a step between those of `running` streams. */
  function gentle(running: number): number {
    const ms = gentleShare * costs.estimate(running);
    const often = costs.within(ms, limits.tokens);
    if (often >= largePiece) return smallSteps > 0 ? often : 0;
    if (smallSteps < seldom) return 0;
    return Math.max(seldomTokens, costs.within(Math.min(seldomMs, seldom * ms), limits.tokens));
  }

  function planOf(prompts: Prompts): { feeds: PlannedFeed[]; large: boolean } {
    const { running, tails, ends, short, long } = prompts;
    const tokens = Math.min(
      limits.tokens,
      Math.max(largePiece, running.length, costs.within(longestStepMs, limits.tokens)),
    );
    // First those who get their first token by it; then by turns with the streams.
    const mayBeLarge = running.length === 0 ? tails.length === 0 : inARowMs < largeInARowMs;
    if (short.length > 0 && ends.length === 0 && mayBeLarge)
      return { feeds: planLarge(short, { ...limits, tokens }), large: true };
    const gently = long.length > 0 ? Math.min(limits.tokens, gentle(running.length)) : 0;
    if (gently > 0) {
      smallSteps = 0;
      return { feeds: planLarge(long, { ...limits, tokens: gently }), large: true };
    }
    return { feeds: planSmall(prompts, { ...limits, tokens }, draft), large: false };
  }

  return {
    next: (slots) => {
      step++;
      const { feeds, large } = planOf(sortOut(slots, step));
      if (large) {
        inARowMs += costs.estimate(feeds.reduce((sum, { count }) => sum + count, 0));
      } else {
        smallSteps++;
        inARowMs = 0;
      }
      return feeds;
    },
  };
}
