// How an answer is to be made, from the fields that both completion endpoints share. Pure; knows no engine
// and no policy.
import type { CompletionRequest, ResponseFormat, samplingSchema } from '@corral/contracts';
import type { z } from 'zod';
import { invalid, isEmpty } from './request-fields.ts';

export interface GenerationSettings {
  readonly sampling: z.input<typeof samplingSchema>;
  /** Null: as many as the context holds. */
  readonly maxTokens: number | null;
  readonly stop: readonly string[];
  /** Null: no log-probabilities. */
  readonly topLogprobs: number | null;
  readonly ignoreEos: boolean;
  readonly responseFormat: ResponseFormat | null;
  /** The answer begins with the prompt. */
  readonly echo: boolean;
  /** Null: none. */
  readonly deadlineMs: number | null;
  readonly cachePrompt: boolean;
  /** Answers to one prompt. */
  readonly n: number;
  /** Answers that are generated to choose those from; at least `n`. */
  readonly bestOf: number;
  readonly stream: boolean;
  readonly includeUsage: boolean;
}

type SharedRequest = Pick<
  CompletionRequest,
  | 'temperature'
  | 'top_p'
  | 'frequency_penalty'
  | 'presence_penalty'
  | 'seed'
  | 'stop'
  | 'n'
  | 'logit_bias'
  | 'stream'
  | 'stream_options'
  | 'corral'
>;

/** Seeds of any sign and size become one of 32 bits; answers of one request get neighbours. */
export const seedFor = (seed: number | undefined, choice: number): number | undefined =>
  seed === undefined ? undefined : (seed + choice) >>> 0;

function samplingOf(body: SharedRequest): GenerationSettings['sampling'] {
  const { temperature, top_p, frequency_penalty, presence_penalty, seed, corral = {} } = body;
  const { top_k, min_p, typical_p, repetition_penalty } = corral;
  const bias = Object.entries(body.logit_bias ?? {}).map(([token, value]): [number, number] => {
    const id = Number(token);
    if (!/^\d+$/.test(token)) throw invalid('logit_bias', `has no token "${token}"`);
    return [id, value];
  });
  return {
    temperature: temperature ?? 1,
    top_p: top_p ?? 1,
    frequency_penalty: frequency_penalty ?? 0,
    presence_penalty: presence_penalty ?? 0,
    logit_bias: bias,
    ...(seed === null || seed === undefined ? {} : { seed: seed >>> 0 }),
    ...(top_k === undefined ? {} : { top_k }),
    ...(min_p === undefined ? {} : { min_p }),
    ...(typical_p === undefined ? {} : { typical_p }),
    ...(repetition_penalty === undefined ? {} : { repetition_penalty }),
  };
}

/** Throws invalid_request that names the field. */
export function sharedSettings(
  body: SharedRequest,
  more: Pick<
    GenerationSettings,
    'maxTokens' | 'topLogprobs' | 'responseFormat' | 'echo' | 'bestOf'
  >,
): GenerationSettings {
  const stream = body.stream ?? false;
  if (!stream && !isEmpty(body.stream_options)) {
    throw invalid('stream_options', 'is only allowed when "stream" is true');
  }
  const { stop, corral } = body;
  return {
    sampling: samplingOf(body),
    stop: stop === null || stop === undefined ? [] : typeof stop === 'string' ? [stop] : stop,
    ignoreEos: corral?.ignore_eos ?? false,
    deadlineMs: corral?.deadline_ms ?? null,
    cachePrompt: corral?.cache_prompt ?? true,
    n: body.n ?? 1,
    stream,
    includeUsage: body.stream_options?.include_usage ?? false,
    ...more,
  };
}
