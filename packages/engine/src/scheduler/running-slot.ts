// A task with its sequence, as the scheduler sees it, and what running tasks have for each other: one that
// computes a beginning which another wants is its source, even before it is done.
import type { PrefixQuery } from './prefix-index.ts';
import { shortestReuse, smallestPiece } from './prompt-cut.ts';
import type { RunningSequence, SequencePool } from './sequence-pool.ts';
import { wantsRow } from './sequence-task.ts';
import type { PlannedSlot } from './step-plan.ts';

export interface RunningSlot extends PlannedSlot {
  readonly namespace: string;
  /** The namespace's name on disk (namespaces.ts). */
  readonly owner: string | null;
  /** First position that was computed in a small piece; Infinity when none was. */
  smallFrom: number;
  waiting: boolean;
  promptTokens: number;
  /** A decode failed: nobody knows what its sequence holds. */
  broken: boolean;
  readonly admittedAt: number;
}

/** A running sequence, and where its prompt passes to small pieces. */
export type ComingSequence = RunningSequence & Pick<RunningSlot, 'cut'>;

/** What of the cache a task may use: its prompt ends in a piece, and the logits after that are needed. */
export function queryOf(slot: Omit<RunningSlot, 'sequence'>): PrefixQuery {
  const { task, namespace, owner, cut } = slot;
  const most = task.tokens.length - (slot.answered === 0 ? smallestPiece : 1);
  let limit = Math.min(slot.answered, Math.max(0, most));
  while (limit < most && !wantsRow(slot, limit)) limit++;
  return { namespace, owner, tokens: task.tokens, limit, cut };
}

/** Sequences that others may copy from. */
export const sourcesOf = (slots: readonly RunningSlot[]): ComingSequence[] =>
  slots
    .filter((slot) => slot.task.cacheable === true && !slot.waiting && !slot.broken)
    .map((slot) => ({ ...slot, tokens: slot.task.tokens }));

/** True when a running task is about to compute clearly more of the query than can be had now. */
export function isComing(
  query: PrefixQuery,
  running: readonly ComingSequence[],
  pool: Pick<SequencePool, 'found'>,
): boolean {
  const sources = running.filter((source) => source.namespace === query.namespace);
  if (sources.length === 0) return false;
  const coming = sources.map((source) => ({
    ...source,
    fed: source.tokens.length,
    smallFrom: Math.min(source.smallFrom, source.cut),
  }));
  return pool.found(query, coming) >= pool.found(query, sources) + shortestReuse;
}
