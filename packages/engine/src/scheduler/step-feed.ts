// One sequence's part of a step: into the batch before the decode, out of its logits after it. Every
// strategy uses these two functions, so guessed tokens and recomputed sequences are handled in one place.
// A guess is right when the task, given the true logits, appends that very token.
import type { NativeBatch } from '../llama-cpp/native-types.ts';
import { wantsRow, type Slot } from './sequence-task.ts';

export interface PlannedFeed {
  readonly slot: Slot;
  /** Tokens of the task to feed, from `slot.fed` on; at least 1. */
  readonly count: number;
  /** Guesses of the tokens that follow; fed too, and their logits asked for. Mostly empty. */
  readonly drafts: readonly number[];
}

/** A row of logits that the decode will give, in order of the batch's outputs. */
export interface WantedRow {
  readonly feed: PlannedFeed;
  readonly position: number;
  /** What was fed behind `position` on the chance that it comes next. */
  readonly guess?: number | undefined;
}

/** Adds the tokens of `feed` to the batch, and to `wanted` the rows it will give. */
export function addFeed(batch: NativeBatch, feed: PlannedFeed, wanted: WantedRow[]): void {
  const { slot, count, drafts } = feed;
  const { task, fed, sequence } = slot;
  const end = fed + count;
  for (let position = fed; position < end; position++) {
    const output = wantsRow(slot, position);
    batch.add(task.tokens[position] as number, position, sequence, output);
    if (!output) continue;
    wanted.push({ feed, position, guess: position + 1 === end ? drafts[0] : undefined });
  }
  for (const [i, token] of drafts.entries()) {
    batch.add(token, end + i, sequence, true);
    wanted.push({ feed, position: end + i, guess: drafts[i + 1] });
  }
}

/**
 * After a decode: counts what is in the cache now and hands the rows to their tasks. Of guesses only those
 * count that came true; the others lie in the cache behind `slot.fed`, and the scheduler removes them.
 */
export function settleFeeds(
  feeds: readonly PlannedFeed[],
  wanted: readonly WantedRow[],
  row: (index: number) => Float32Array,
): void {
  for (const { slot, count } of feeds) slot.fed += count;
  for (const [index, { feed, position, guess }] of wanted.entries()) {
    const { slot } = feed;
    const { task } = slot;
    // Behind a wrong guess: the position is not one of the task's.
    if (task.finished || position >= slot.fed) continue;
    slot.answered = position + 1;
    task.acceptLogits(position, row(index));
    if (guess !== undefined && !task.finished && task.tokens[slot.fed] === guess) slot.fed++;
  }
}
