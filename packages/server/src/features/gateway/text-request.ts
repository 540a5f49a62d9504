// OpenAI's older text completions, as far as they are served: one prompt, raw text or token ids.
import { chatCompletionRequestSchema } from '@corral/contracts';
import { z } from 'zod';
import { sharedSettings, unsupported } from './chat-request.ts';
import type { GenerationSettings } from './chat-request.ts';
import type { Asked } from './gateway-service.ts';

const shared = chatCompletionRequestSchema.shape;

export const completionRequestSchema = z.looseObject({
  model: shared.model,
  prompt: z.union([
    z.string().max(4_000_000),
    z.array(z.string().max(4_000_000)).min(1).max(64),
    z.array(z.int().min(0)).min(1).max(1_048_576),
  ]),
  max_tokens: z.int().min(0).nullish(),
  logprobs: z.int().min(0).max(5).nullish(),
  temperature: shared.temperature,
  top_p: shared.top_p,
  frequency_penalty: shared.frequency_penalty,
  presence_penalty: shared.presence_penalty,
  seed: shared.seed,
  stop: shared.stop,
  n: shared.n,
  logit_bias: shared.logit_bias,
  stream: shared.stream,
  stream_options: shared.stream_options,
  user: shared.user,
  corral: shared.corral,
  echo: z.boolean().nullish(),
  suffix: z.string().nullish(),
  best_of: z.int().nullish(),
});
type CompletionRequest = z.output<typeof completionRequestSchema>;

/** OpenAI's own default for this endpoint; chat has none. */
const defaultMaxTokens = 16;

export function textSettings(body: CompletionRequest): GenerationSettings {
  if (body.echo) throw unsupported('echo', 'the prompt is not repeated');
  if (body.suffix) throw unsupported('suffix', 'text cannot be inserted before a suffix');
  if ((body.best_of ?? 1) > (body.n ?? 1)) {
    throw unsupported('best_of', 'answers are not ranked');
  }
  return sharedSettings(body, {
    maxTokens: body.max_tokens ?? defaultMaxTokens,
    topLogprobs: body.logprobs ?? null,
  });
}

const isTokens = (prompt: readonly (string | number)[]): prompt is readonly number[] =>
  typeof prompt[0] === 'number';

export function textPrompts({ prompt }: CompletionRequest): Asked {
  if (typeof prompt === 'string') return { kind: 'text', text: prompt };
  if (isTokens(prompt)) return { kind: 'tokens', tokens: prompt };
  const [text, ...others] = prompt;
  if (others.length > 0 || text === undefined) {
    throw unsupported('prompt', 'send one prompt a request');
  }
  return { kind: 'text', text };
}
