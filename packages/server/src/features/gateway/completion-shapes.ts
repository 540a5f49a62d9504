// OpenAI's answers, byte for byte where clients look: chat completions and text completions, whole and in
// chunks. Pure: facts in, objects out. Corral's own additions stand under `corral`.
import type { PolicyNotice, TokenLogprob } from '@corral/contracts';
import type { FinishReason, GenerationUsage } from './guarded-generation.ts';

/** The same for every chunk of an answer. */
export interface CompletionHead {
  readonly id: string;
  /** Unix seconds. */
  readonly created: number;
  readonly model: string;
  readonly system_fingerprint: string;
}

export interface FinishedChoice {
  readonly text: string;
  readonly logprobs: readonly TokenLogprob[];
  readonly finishReason: FinishReason;
  readonly usage: GenerationUsage;
}

/** What Corral adds: which model answered, and what the policy did, never in silence. */
export interface CorralAddition {
  readonly model: string;
  readonly policy: readonly PolicyNotice[];
}

/** Answers of one request share one prompt: it is counted once. */
export function usageOf(choices: readonly { readonly usage: GenerationUsage }[]) {
  const prompt = Math.max(0, ...choices.map(({ usage }) => usage.prompt));
  const completion = choices.reduce((sum, { usage }) => sum + usage.completion, 0);
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: {
      cached_tokens: Math.max(0, ...choices.map(({ usage }) => usage.cached)),
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

const chatLogprobs = (entries: readonly TokenLogprob[]) => ({
  content: entries.map(({ text, logprob, bytes, top }) => ({
    token: text,
    logprob,
    bytes,
    top_logprobs: top.map((other) => ({
      token: other.text,
      logprob: other.logprob,
      bytes: other.bytes,
    })),
  })),
  refusal: null,
});

/** Text completions' own older form: four arrays side by side. */
const textLogprobs = (entries: readonly TokenLogprob[], startOffset: number) => {
  let offset = startOffset;
  return {
    tokens: entries.map(({ text }) => text),
    token_logprobs: entries.map(({ logprob }) => logprob),
    top_logprobs: entries.map(({ top }) =>
      Object.fromEntries(top.map(({ text, logprob }) => [text, logprob])),
    ),
    text_offset: entries.map(({ text }) => {
      const at = offset;
      offset += text.length;
      return at;
    }),
  };
};

interface ChunkOptions {
  readonly index: number;
  /** Whether the request asked for log-probabilities. */
  readonly withLogprobs: boolean;
  /** UTF-16 units of this choice that went out before. */
  readonly offset: number;
}

/** One way of writing an answer down. */
export interface CompletionShape {
  readonly idPrefix: string;
  /** The first chunk of a choice; null: none. */
  opening(head: CompletionHead, index: number): unknown;
  text(
    head: CompletionHead,
    part: { text: string; logprobs: readonly TokenLogprob[] },
    options: ChunkOptions,
  ): unknown;
  finish(
    head: CompletionHead,
    index: number,
    end: { finishReason: FinishReason; addition: CorralAddition },
  ): unknown;
  /** The last chunk of a stream that asked for usage. */
  usage(head: CompletionHead, usage: Usage): unknown;
  whole(
    head: CompletionHead,
    choices: readonly FinishedChoice[],
    options: { withLogprobs: boolean; addition: CorralAddition },
  ): unknown;
}

const chatChunk = (head: CompletionHead, choices: readonly unknown[], more: object = {}) => ({
  id: head.id,
  object: 'chat.completion.chunk',
  created: head.created,
  model: head.model,
  service_tier: 'default',
  system_fingerprint: head.system_fingerprint,
  choices,
  ...more,
});

export const chatShape: CompletionShape = {
  idPrefix: 'chatcmpl-',
  opening: (head, index) =>
    chatChunk(head, [
      {
        index,
        delta: { role: 'assistant', content: '', refusal: null },
        logprobs: null,
        finish_reason: null,
      },
    ]),
  text: (head, { text, logprobs }, { index, withLogprobs }) =>
    chatChunk(head, [
      {
        index,
        delta: { content: text },
        logprobs: withLogprobs ? chatLogprobs(logprobs) : null,
        finish_reason: null,
      },
    ]),
  finish: (head, index, { finishReason, addition }) =>
    chatChunk(head, [{ index, delta: {}, logprobs: null, finish_reason: finishReason }], {
      corral: addition,
    }),
  usage: (head, usage) => chatChunk(head, [], { usage }),
  whole: (head, choices, { withLogprobs, addition }) => ({
    id: head.id,
    object: 'chat.completion',
    created: head.created,
    model: head.model,
    choices: choices.map(({ text, logprobs, finishReason }, index) => ({
      index,
      message: { role: 'assistant', content: text, refusal: null, annotations: [] },
      logprobs: withLogprobs ? chatLogprobs(logprobs) : null,
      finish_reason: finishReason,
    })),
    usage: usageOf(choices),
    service_tier: 'default',
    system_fingerprint: head.system_fingerprint,
    corral: addition,
  }),
};

const textChunk = (head: CompletionHead, choices: readonly unknown[], more: object = {}) => ({
  id: head.id,
  object: 'text_completion',
  created: head.created,
  model: head.model,
  system_fingerprint: head.system_fingerprint,
  choices,
  ...more,
});

export const textShape: CompletionShape = {
  idPrefix: 'cmpl-',
  opening: () => null,
  text: (head, { text, logprobs }, { index, withLogprobs, offset }) =>
    textChunk(head, [
      {
        index,
        text,
        logprobs: withLogprobs ? textLogprobs(logprobs, offset) : null,
        finish_reason: null,
      },
    ]),
  finish: (head, index, { finishReason, addition }) =>
    textChunk(head, [{ index, text: '', logprobs: null, finish_reason: finishReason }], {
      corral: addition,
    }),
  usage: (head, usage) => textChunk(head, [], { usage }),
  whole: (head, choices, { withLogprobs, addition }) =>
    textChunk(
      head,
      choices.map(({ text, logprobs, finishReason }, index) => ({
        index,
        text,
        logprobs: withLogprobs ? textLogprobs(logprobs, 0) : null,
        finish_reason: finishReason,
      })),
      { usage: usageOf(choices), corral: addition },
    ),
};
