// What a trainer says while it runs: one JSON object a line, on stdout and in `events.jsonl`.
import { z } from 'zod';
import type { ErrorPayload } from './errors.ts';

const number = z.number();

export const runEventSchema = z.discriminatedUnion('type', [
  z.looseObject({
    type: z.literal('started'),
    method: z.string(),
    total_steps: number,
    examples: number,
    validation_examples: number,
    /** Tokens of one pass over the training examples. */
    tokens_per_epoch: number,
    /** What the training file was read as: "chat (JSON lines)". */
    data_format: z.string().optional(),
    trainable_parameters: number,
    base_parameters: number,
    resumed_from_step: number.nullable(),
  }),
  /** A long step before the first training step: loading weights, tokenising, creating graphs. */
  z.looseObject({ type: z.literal('phase'), name: z.string(), done: number, total: number }),
  z.looseObject({
    type: z.literal('step'),
    step: number,
    epoch: number,
    loss: number,
    learning_rate: number,
    grad_norm: number,
    /** Tokens processed so far, prompts included, padding not. */
    tokens: number,
    tokens_per_second: number,
    token_accuracy: number,
    memory_bytes: number,
    seconds_left: number,
    /** DPO: share of pairs whose chosen answer is rated higher, and by how much (β · log-ratio). */
    reward_accuracy: number.optional(),
    reward_margin: number.optional(),
  }),
  z.looseObject({
    type: z.literal('validation'),
    step: number,
    loss: number,
    token_accuracy: number,
    reward_accuracy: number.optional(),
    reward_margin: number.optional(),
  }),
  z.looseObject({ type: z.literal('checkpoint'), step: number, path: z.string() }),
  z.looseObject({ type: z.literal('warning'), message: z.string() }),
  z.looseObject({
    type: z.literal('finished'),
    step: number,
    loss_before: number.nullable(),
    loss_after: number.nullable(),
    tokens: number,
    seconds: number,
    tokens_per_second: number,
    gflops: number,
    peak_memory_bytes: number,
  }),
  z.looseObject({ type: z.literal('paused'), step: number }),
  z.looseObject({ type: z.literal('failed'), error: z.custom<ErrorPayload>() }),
]);

export type RunEvent = z.infer<typeof runEventSchema>;

/** Exit codes of the trainer's worker entry. */
export const trainerExitCodes = { finished: 0, failed: 1, misuse: 2, paused: 75 } as const;

export interface DataRowError {
  /** One-based line or row number. */
  readonly row: number;
  readonly reason: string;
  readonly fix: string;
}

/** A rendered example cut where the loss mask changes. */
export interface PreviewSegment {
  readonly text: string;
  readonly loss: boolean;
}

/** Answer of `check`: everything a person wants to know of a data set before a run. */
export interface DataReport {
  readonly path: string;
  readonly format: string;
  /** What the file is: JSON lines, JSON list, CSV, Parquet, plain text. */
  readonly container?: string;
  readonly rows: number;
  readonly examples: number;
  readonly tokens: {
    readonly total: number;
    readonly mean: number;
    readonly max: number;
    readonly p95: number;
  };
  readonly loss_tokens: number;
  /** Conversations longer than the context, and what became of them (`data.truncate`). */
  readonly too_long?: {
    readonly rows: number;
    /** Tokens of the longest. */
    readonly longest: number;
    readonly policy: 'error' | 'drop' | 'cut';
    /** Left out: all with `drop`; with `cut` those of which nothing to learn was left. */
    readonly dropped: number;
  };
  readonly sha256: string;
  /** The first 20 problems. */
  readonly errors: readonly DataRowError[];
  readonly error_count: number;
  readonly preview: readonly {
    readonly row: number;
    readonly segments: readonly PreviewSegment[];
  }[];
}

/** Answer of `plan`. Times and bytes are predictions. */
export interface RunPlan {
  readonly method: TrainingMethodName;
  /** What `runtime.precision` comes to here. */
  readonly precision?: 'float32' | 'int8';
  readonly base_parameters: number;
  readonly trainable_parameters: number;
  readonly total_steps: number;
  readonly tokens: number;
  readonly peak_memory_bytes: number;
  /** What runtime.memory_limit allows. */
  readonly memory_limit_bytes?: number;
  /** What the run will do without so that it fits; '' = nothing. */
  readonly memory_savings?: string;
  /** Changes of the configuration after which it would need less, the smallest need first. */
  readonly memory_advice?: readonly { readonly change: string; readonly bytes: number }[];
  readonly disk_bytes: number;
  readonly seconds: number;
}
type TrainingMethodName = string;

export const goldenSchema = z.object({
  schema: z.literal('corral-golden/1'),
  base: z.object({ sha256: z.string() }),
  transcripts: z.array(
    z.object({
      messages: z.array(z.object({ role: z.string(), content: z.string() })),
      /** Rendered prompt with generation prompt, as the trainer tokenised it. */
      prompt_tokens: z.array(z.int()),
      /** Greedy continuation by the trainer's own forward pass. */
      greedy_tokens: z.array(z.int()),
      /** For each greedy token's position: the most likely tokens and their log-probabilities (natural log). */
      top_logprobs: z.array(z.array(z.tuple([z.int(), z.number()]))),
    }),
  ),
});
/** Transcripts written by the trainer and replayed by every derived form of the model. */
export type Golden = z.infer<typeof goldenSchema>;
