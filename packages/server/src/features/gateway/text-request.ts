// OpenAI's older text completions: raw text or token ids, one prompt or several. Pure.
import type { CompletionRequest, Prompt } from '@corral/contracts';
import { sharedSettings } from './generation-settings.ts';
import type { GenerationSettings } from './generation-settings.ts';
import { invalid, refuseUnsupported } from './request-fields.ts';

/** OpenAI's own default for this endpoint; chat has none. */
const defaultMaxTokens = 16;
/** Generations of one request: prompts times answers. */
const maxGenerations = 128;

/** Throws unsupported_parameter and invalid_request, each naming the field. */
export function textSettings(body: CompletionRequest): GenerationSettings {
  refuseUnsupported('completions', body);
  const n = body.n ?? 1;
  const bestOf = body.best_of ?? n;
  if (bestOf < n) throw invalid('best_of', `is ${bestOf}, less than "n" (${n})`);
  if (bestOf > n && body.stream) throw invalid('best_of', 'cannot be streamed');
  return sharedSettings(body, {
    maxTokens: body.max_tokens ?? defaultMaxTokens,
    topLogprobs: body.logprobs ?? null,
    responseFormat: null,
    echo: body.echo ?? false,
    bestOf,
  });
}

const text = (one: string): Prompt => ({ kind: 'text', text: one });

/** The inputs of a request, each as its own prompt. */
export function textPrompts(input: CompletionRequest['prompt']): Prompt[] {
  if (typeof input === 'string') return [text(input)];
  // All of one kind, as the schema says.
  const numbers = input.filter((one) => typeof one === 'number');
  if (numbers.length > 0) return [{ kind: 'tokens', tokens: numbers }];
  return input.flatMap((one): Prompt[] => {
    if (typeof one === 'string') return [text(one)];
    return typeof one === 'number' ? [] : [{ kind: 'tokens', tokens: one }];
  });
}

/** Throws invalid_request when prompts times answers are too many for one request. */
export function refuseTooMany(prompts: readonly Prompt[], bestOf: number): void {
  if (prompts.length * bestOf <= maxGenerations) return;
  const reason = `holds ${prompts.length} prompts of ${bestOf} answers; ${maxGenerations} answers a request are the limit`;
  throw invalid('prompt', reason);
}
