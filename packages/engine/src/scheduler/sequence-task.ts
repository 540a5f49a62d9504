// What the scheduler asks of a piece of work: tokens to feed, positions whose logits it wants, and what
// it does with them. Generation and scoring are two kinds; the scheduler tells them apart by nothing.
import type { CorralError } from '@corral/contracts';
import type { NativeAdapter } from '../llama-cpp/native-types.ts';

export interface SequenceTask {
  readonly id: string;
  readonly tenant: string;
  readonly adapter: NativeAdapter | null;
  /** Tokens of the sequence so far; grows at its end while the task runs. */
  readonly tokens: readonly number[];
  /** True when the logits after `tokens[position]` are needed. */
  wantsLogits(position: number): boolean;
  /** Takes the row [vocabulary] after `position`; it is valid during the call only. */
  acceptLogits(position: number, row: Float32Array): void;
  /** Nothing more is to be decoded. */
  readonly finished: boolean;
  /** The task ends because someone asked for it. */
  cancel(): void;
  /** The task ends because of a failure. */
  fail(error: CorralError): void;
}

/** A task that holds a sequence of the cache. */
export interface Slot {
  readonly task: SequenceTask;
  readonly sequence: number;
  /** Tokens of the task that are in the cache. */
  fed: number;
}
