// From OpenAI's request to what an engine is asked: known fields are honoured or refused by name, nothing
// is accepted and then ignored. Pure; knows no engine and no policy.
import { CorralError } from '@corral/contracts';
import type { ChatCompletionRequest, PromptMessage, samplingSchema } from '@corral/contracts';
import type { z } from 'zod';

export interface GenerationSettings {
  readonly sampling: z.input<typeof samplingSchema>;
  /** Null: as many as the context holds. */
  readonly maxTokens: number | null;
  readonly stop: readonly string[];
  /** Null: no log-probabilities. */
  readonly topLogprobs: number | null;
  readonly ignoreEos: boolean;
  /** Answers to one prompt. */
  readonly n: number;
  readonly stream: boolean;
  readonly includeUsage: boolean;
}

export const unsupported = (param: string, reason: string): CorralError =>
  new CorralError('unsupported_parameter', { params: { param, reason }, param });
const invalid = (param: string, reason: string): CorralError =>
  new CorralError('invalid_request', { params: { reason: `"${param}" ${reason}` }, param });

const isEmpty = (value: unknown): boolean =>
  value === undefined || value === null || (Array.isArray(value) && value.length === 0);

/** Fields with a meaning that would change the answer: a value means the caller counts on it. */
const refusals: Readonly<Record<string, string>> = {
  tools: 'tool calls are not available yet',
  functions: 'tool calls are not available yet',
  audio: 'only text can be generated',
  prediction: 'predicted outputs are not available',
  web_search_options: 'this server does not search the web',
  moderation: 'this server applies its policy packs; see GET /v1/policy',
};

/** Fields where some values mean nothing special. */
const harmless: Readonly<Record<string, (value: unknown) => boolean>> = {
  tool_choice: (value) => value === 'none' || value === 'auto',
  function_call: (value) => value === 'none' || value === 'auto',
  response_format: (value) => (value as { type?: unknown }).type === 'text',
  modalities: (value) => Array.isArray(value) && value.every((item) => item === 'text'),
  store: (value) => value === false,
};
const harmlessHints: Readonly<Record<string, string>> = {
  tool_choice: 'tool calls are not available yet',
  function_call: 'tool calls are not available yet',
  response_format: 'only {"type": "text"} is available yet',
  modalities: 'only text can be generated',
  store: 'completions are not stored',
};

/** Throws unsupported_parameter for the first field that cannot be honoured. */
function refuseUnsupported(body: Readonly<Record<string, unknown>>): void {
  for (const [name, reason] of Object.entries(refusals)) {
    if (!isEmpty(body[name])) throw unsupported(name, reason);
  }
  for (const [name, isHarmless] of Object.entries(harmless)) {
    if (!isEmpty(body[name]) && !isHarmless(body[name])) {
      throw unsupported(name, harmlessHints[name] ?? 'this value is not available');
    }
  }
}

type Message = ChatCompletionRequest['messages'][number];

function textOf(content: Message['content'], at: string): string {
  if (typeof content === 'string') return content;
  if (content === null || content === undefined) return '';
  return content
    .map(({ type, text }, i) => {
      if (type === 'text' && text !== undefined) return text;
      const reason = `content of type "${type}" is not understood; send text`;
      throw unsupported(`${at}.content[${i}].type`, reason);
    })
    .join('');
}

/** As OpenAI has it. Templates may render names: no markup and no sentences. */
const namePattern = /^[\w-]{1,64}$/;

/** Messages as the prompt renderer wants them. */
export function promptMessages(messages: readonly Message[]): PromptMessage[] {
  return messages.map(({ role, content, name, tool_calls: toolCalls }, i) => {
    const at = `messages[${i}]`;
    if (role === 'tool' || role === 'function') {
      throw unsupported(`${at}.role`, 'tool calls are not available yet');
    }
    if (!isEmpty(toolCalls)) {
      throw unsupported(`${at}.tool_calls`, 'tool calls are not available yet');
    }
    if (role !== 'assistant' && (content === null || content === undefined)) {
      throw invalid(`${at}.content`, 'is needed');
    }
    if (name !== undefined && !namePattern.test(name)) {
      throw invalid(`${at}.name`, 'may hold 1 to 64 letters, digits, "_" and "-" only');
    }
    return { role, content: textOf(content, at), ...(name === undefined ? {} : { name }) };
  });
}

/** What both completion endpoints share. */
type SharedRequest = Pick<
  ChatCompletionRequest,
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
  const { temperature, top_p, frequency_penalty, presence_penalty, seed, corral } = body;
  const bias = Object.entries(body.logit_bias ?? {}).map(([token, value]): [number, number] => {
    const id = Number(token);
    if (!Number.isInteger(id) || id < 0) throw invalid('logit_bias', `has no token "${token}"`);
    return [id, value];
  });
  return {
    temperature: temperature ?? 1,
    top_p: top_p ?? 1,
    frequency_penalty: frequency_penalty ?? 0,
    presence_penalty: presence_penalty ?? 0,
    logit_bias: bias,
    ...(seed === null || seed === undefined ? {} : { seed: seed >>> 0 }),
    ...(corral?.top_k === undefined ? {} : { top_k: corral.top_k }),
    ...(corral?.min_p === undefined ? {} : { min_p: corral.min_p }),
    ...(corral?.repetition_penalty === undefined
      ? {}
      : { repetition_penalty: corral.repetition_penalty }),
  };
}

export function sharedSettings(
  body: SharedRequest,
  more: { maxTokens: number | null; topLogprobs: number | null },
): GenerationSettings {
  const stream = body.stream ?? false;
  if (!stream && !isEmpty(body.stream_options)) {
    throw invalid('stream_options', 'is only allowed when "stream" is true');
  }
  const { stop } = body;
  return {
    sampling: samplingOf(body),
    stop: stop === null || stop === undefined ? [] : typeof stop === 'string' ? [stop] : stop,
    ignoreEos: body.corral?.ignore_eos ?? false,
    n: body.n ?? 1,
    stream,
    includeUsage: body.stream_options?.include_usage ?? false,
    ...more,
  };
}

/** Settings of a chat completion. Throws unsupported_parameter and invalid_request, each naming the field. */
export function chatSettings(body: ChatCompletionRequest): GenerationSettings {
  refuseUnsupported(body);
  const { logprobs, top_logprobs: top } = body;
  if (top !== null && top !== undefined && !logprobs) {
    throw invalid('top_logprobs', 'needs "logprobs" to be true');
  }
  return sharedSettings(body, {
    maxTokens: body.max_completion_tokens ?? body.max_tokens ?? null,
    topLogprobs: logprobs ? (top ?? 0) : null,
  });
}
