// What the server asks of anything that generates: a child process today, a remote server tomorrow.
// Knows neither processes nor HTTP; failures are CorralErrors of the engine_* codes.
import type {
  EmbedResult,
  EngineModelInfo,
  GenerationEvent,
  Prompt,
  RenderResult,
  ResponseFormat,
  ScoreResult,
  ServerStatus,
  samplingSchema,
} from '@corral/contracts';
import type { z } from 'zod';

/** An adapter to apply, loaded when first needed. */
export interface EngineAdapter {
  /** SHA-256 of the file: the same bytes are the same adapter, whoever asks. */
  readonly id: string;
  readonly path: string;
}

export interface GenerateRequest {
  /** Queueing is fair between tenants and no cache crosses them. */
  readonly tenant: string;
  readonly adapter: EngineAdapter | null;
  readonly prompt: Prompt;
  readonly sampling?: z.input<typeof samplingSchema>;
  readonly maxTokens: number;
  readonly stop?: readonly string[];
  /** Alternatives per token; null: no log-probabilities at all. */
  readonly topLogprobs?: number | null;
  readonly ignoreEos?: boolean;
  /** What the whole answer must be; null: anything. */
  readonly responseFormat?: ResponseFormat | null;
  /** The events begin with the prompt. */
  readonly echo?: boolean;
  /** Milliseconds until the generation ends with `deadline`; null: no such end. */
  readonly deadlineMs?: number | null;
  /** False: the prefix cache is neither read nor written. */
  readonly cachePrompt?: boolean;
}

export interface EmbedRequest {
  readonly tenant: string;
  readonly adapter: EngineAdapter | null;
  readonly prompts: readonly Prompt[];
  readonly pooling?: 'model' | 'mean' | 'last' | 'cls';
  readonly normalize?: boolean;
}

export interface ScoreRequest {
  readonly adapter: EngineAdapter | null;
  readonly prompt: Prompt;
  readonly forcedTokens: readonly number[];
  readonly topLogprobs: number;
  /** For each forced position, tokens whose log-probability is wanted too. */
  readonly wanted: readonly (readonly number[])[];
}

export type EngineReport = ServerStatus['engines'][number];

export interface Engine {
  readonly base: string;
  /** False: `render` is refused; how long a prompt is, only the server knows that answers it. */
  readonly countsTokens: boolean;
  /** Starts the engine if need be. */
  info(): Promise<EngineModelInfo>;
  /** Makes it ready to answer. */
  warm(): Promise<void>;
  /**
   * Events of one generation, the last with `finish`. Ends early without one when `signal` aborts.
   * Throws overloaded, engine_failed, engine_unavailable, context_length_exceeded.
   */
  generate(request: GenerateRequest, signal?: AbortSignal): AsyncIterable<GenerationEvent>;
  /** Teacher forcing: what the model thinks at each forced position. */
  score(request: ScoreRequest): Promise<ScoreResult>;
  /** One vector a prompt. Leaving early is not possible: prompts of one call share their batches. */
  embed(request: EmbedRequest): Promise<EmbedResult>;
  /** The prompt as text and token ids. */
  render(prompt: Prompt): Promise<RenderResult>;
  /** Never starts anything. */
  report(): Promise<EngineReport>;
  /** Idempotent; running generations end with engine_unavailable. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
