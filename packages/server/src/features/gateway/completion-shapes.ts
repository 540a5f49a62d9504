// What OpenAI's two kinds of answers have in common: the facts they are written from, their usage, and
// what Corral adds. Pure: facts in, text and objects out.
import type { PolicyNotice, ToolCall, ToolCallDelta } from '@corral/contracts';
import type { EndEvent, FinishReason, GenerationUsage, TextEvent } from './guarded-generation.ts';
import type { ShownLogprob } from './logprob-gate.ts';

/** The same for every chunk of an answer. */
export interface CompletionHead {
  readonly id: string;
  /** Unix seconds. */
  readonly created: number;
  readonly model: string;
  readonly system_fingerprint: string;
}

export interface FinishedChoice {
  /** Which prompt of the request it answers. */
  readonly prompt: number;
  readonly text: string;
  readonly calls: readonly ToolCall[];
  readonly logprobs: readonly ShownLogprob[];
  readonly finishReason: FinishReason;
  readonly usage: GenerationUsage;
}

/** What Corral adds: which model answered, and what the policy did, never in silence. */
export interface CorralAddition {
  readonly model: string;
  readonly policy: readonly PolicyNotice[];
  /** The request's `corral.deadline_ms` cut the answer. */
  readonly stopped_by?: 'deadline';
}

/** Answers to one prompt share it: it is counted once. */
export function usageOf(
  choices: readonly { readonly prompt: number; readonly usage: GenerationUsage }[],
) {
  const prompts = new Map<number, { prompt: number; cached: number }>();
  let completion = 0;
  for (const { prompt, usage } of choices) {
    const known = prompts.get(prompt) ?? { prompt: 0, cached: 0 };
    prompts.set(prompt, {
      prompt: Math.max(known.prompt, usage.prompt),
      cached: Math.max(known.cached, usage.cached),
    });
    completion += usage.completion;
  }
  const counts = [...prompts.values()];
  const prompt = counts.reduce((sum, count) => sum + count.prompt, 0);
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: {
      cached_tokens: counts.reduce((sum, { cached }) => sum + cached, 0),
      audio_tokens: 0,
    },
    completion_tokens_details: {
      reasoning_tokens: 0,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  };
}
type Usage = ReturnType<typeof usageOf>;

export interface ShapeOptions {
  /** Whether the request asked for log-probabilities. */
  readonly withLogprobs: boolean;
  /** The request knows only `functions`: a call is answered as `function_call`. */
  readonly olderCalls: boolean;
}

/** The chunks of one choice, as frames of server-sent events. What opens a choice comes with its first. */
export interface ChoiceChunks {
  text(event: TextEvent): string;
  calls(deltas: readonly ToolCallDelta[]): string;
  finish(end: EndEvent, addition: CorralAddition): string;
}

/** One way of writing an answer down. */
export interface CompletionShape {
  readonly idPrefix: string;
  chunks(head: CompletionHead, index: number, options: ShapeOptions): ChoiceChunks;
  /** The last chunk of a stream that asked for usage. */
  usage(head: CompletionHead, usage: Usage): string;
  whole(
    head: CompletionHead,
    choices: readonly FinishedChoice[],
    facts: ShapeOptions & { addition: CorralAddition; usage: Usage },
  ): unknown;
}

/** One frame of server-sent events. */
export const frame = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;
