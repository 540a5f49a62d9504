// What the scheduler asks of a piece of work: tokens to feed, positions whose logits it wants, and what
// it does with them. Generation and scoring are two kinds; the scheduler tells them apart by nothing.
import type { CorralError } from '@corral/contracts';
import type { NativeAdapter } from '../llama-cpp/native-types.ts';

export interface SequenceTask {
  readonly id: string;
  readonly tenant: string;
  readonly adapter: NativeAdapter | null;
  /** SHA-256 of the adapter's file, where it is known. */
  readonly adapterDigest?: string | null;
  /** Tokens of the sequence so far; grows at its end while the task runs. */
  readonly tokens: readonly number[];
  /** What `tokens` may grow to. Absent: it does not grow. */
  readonly maxTokens?: number;
  /** Position at which the last message of the prompt begins, if it has messages. */
  readonly boundary?: number;
  /** May start from keys and values of an equal beginning, and leave its own to others. Absent: no. */
  readonly cacheable?: boolean;
  /**
   * May be fed guessed tokens after its last one. `acceptLogits` is then called for several positions of
   * a step, as long as each token it appended is the guessed one. Absent: no.
   */
  readonly speculative?: boolean;
  /** `performance.now()` at which `expire` is called. Absent or null: never. */
  readonly deadline?: number | null;
  /** True when the logits after `tokens[position]` are needed; also asked of positions to come. */
  wantsLogits(position: number): boolean;
  /** Takes the row [vocabulary] after `position`; it is valid during the call only. Called once a position. */
  acceptLogits(position: number, row: Float32Array): void;
  /** The first `count` tokens were not computed for this task: they were found in the prefix cache. */
  reused?(count: number): void;
  /** Nothing more is to be decoded. */
  readonly finished: boolean;
  /** The task ends because someone asked for it. */
  cancel(): void;
  /** The task ends because its deadline has passed. Absent: `cancel` is called. */
  expire?(): void;
  /** The task ends because of a failure. */
  fail(error: CorralError): void;
}

/** A task that holds a sequence of the cache. */
export interface Slot {
  readonly task: SequenceTask;
  readonly sequence: number;
  /** Tokens of the task that are in the cache. */
  fed: number;
  /** Positions below this had their logits: a sequence that is computed again does not answer twice. */
  answered: number;
}

/** True when the next decode must give the logits after `position`. */
export const wantsRow = (
  { task, answered }: Pick<Slot, 'task' | 'answered'>,
  position: number,
): boolean => position >= answered && task.wantsLogits(position);
