// A generation as OpenAI's contract words it, in the dialect of the server; what the server cannot do is
// refused by name. Knows no HTTP.
import { CorralError, samplingSchema } from '@corral/contracts';
import type { Prompt, PromptMessage, Sampling } from '@corral/contracts';
import type { GenerateRequest } from '../engine.ts';
import { neutralSampling } from './dialects.ts';
import type { Dialect } from './dialects.ts';

export interface UpstreamTarget {
  /** Its id here, for messages. */
  readonly id: string;
  /** The model's name there. */
  readonly model: string;
  readonly dialect: Dialect;
  readonly sharedPrefixCache: boolean;
}

export interface UpstreamRequest {
  readonly kind: 'chat' | 'text';
  readonly path: '/chat/completions' | '/completions';
  readonly body: Record<string, unknown>;
}

export const unsupported = (id: string, param: string): CorralError =>
  new CorralError('unsupported_parameter', {
    params: { param, reason: `the server behind "${id}" cannot do it.` },
    param,
  });

function messageOf(message: PromptMessage, { developerRole }: Dialect): object {
  const { role, content, name, tool_calls: calls, tool_call_id } = message;
  return {
    role: role === 'developer' ? developerRole : role,
    content,
    ...(name === undefined ? {} : { name }),
    ...(tool_call_id === undefined ? {} : { tool_call_id }),
    ...(calls === undefined || calls.length === 0
      ? {}
      : {
          tool_calls: calls.map(({ id, name: called, arguments: text }) => ({
            id,
            type: 'function',
            function: { name: called, arguments: text },
          })),
        }),
  };
}

type MessagesPrompt = Extract<Prompt, { kind: 'messages' }>;

/** Messages, tools and template: what decides the prompt. */
export function promptFields(prompt: MessagesPrompt, { id, dialect }: UpstreamTarget): object {
  const { messages, tools, tool_choice: choice, parallel_tool_calls, chat_template } = prompt;
  if (chat_template !== undefined && !dialect.chatTemplate) throw unsupported(id, 'chat_template');
  return {
    messages: messages.map((message) => messageOf(message, dialect)),
    ...(tools === undefined || tools.length === 0
      ? {}
      : { tools: tools.map((tool) => ({ type: 'function', function: tool })) }),
    ...(choice === undefined
      ? {}
      : {
          tool_choice:
            typeof choice === 'string'
              ? choice
              : { type: 'function', function: { name: choice.name } },
        }),
    ...(parallel_tool_calls === undefined ? {} : { parallel_tool_calls }),
    ...(chat_template === undefined ? {} : { chat_template }),
  };
}

function samplingFields(given: GenerateRequest['sampling'], target: UpstreamTarget): object {
  const sampling: Sampling = samplingSchema.parse(given ?? {});
  const fields: Record<string, unknown> = {
    temperature: sampling.temperature,
    top_p: sampling.top_p,
  };
  for (const name of Object.keys(neutralSampling) as (keyof typeof neutralSampling)[]) {
    const theirs = target.dialect.sampling[name];
    // Their defaults may not be neutral, so even neutral values are said.
    if (theirs !== undefined) fields[theirs] = sampling[name];
    else if (sampling[name] !== neutralSampling[name]) throw unsupported(target.id, name);
  }
  if (sampling.seed !== undefined) fields['seed'] = sampling.seed;
  if (sampling.frequency_penalty !== 0) fields['frequency_penalty'] = sampling.frequency_penalty;
  if (sampling.presence_penalty !== 0) fields['presence_penalty'] = sampling.presence_penalty;
  if (sampling.logit_bias.length > 0)
    fields['logit_bias'] = Object.fromEntries(sampling.logit_bias);
  return fields;
}

const formatField = (format: GenerateRequest['responseFormat']): object => {
  if (!format) return {};
  if (format.type === 'json_object') return { response_format: { type: 'json_object' } };
  const json_schema = { name: 'answer', strict: true, schema: format.schema };
  return { response_format: { type: 'json_schema', json_schema } };
};

function logprobFields(
  { topLogprobs }: GenerateRequest,
  kind: UpstreamRequest['kind'],
  { fewestLogprobs }: Dialect,
): object {
  if (topLogprobs === null || topLogprobs === undefined) return {};
  const count = Math.max(topLogprobs, fewestLogprobs);
  return kind === 'chat' ? { logprobs: true, top_logprobs: count } : { logprobs: count };
}

/** Throws unsupported_parameter. */
export function toUpstreamRequest(
  request: GenerateRequest,
  target: UpstreamTarget,
): UpstreamRequest {
  const { id, dialect } = target;
  const { prompt, stop = [], maxTokens } = request;
  if (request.adapter) throw unsupported(id, 'adapter');
  if (request.echo) throw unsupported(id, 'echo');
  if (request.ignoreEos && !dialect.ignoresEos) throw unsupported(id, 'ignore_eos');
  if (prompt.kind === 'tokens' && !dialect.tokenPrompts) throw unsupported(id, 'prompt');
  const kind = prompt.kind === 'messages' ? 'chat' : 'text';
  const { tenant, cachePrompt = true } = request;
  return {
    kind,
    path: kind === 'chat' ? '/chat/completions' : '/completions',
    body: {
      model: target.model,
      stream: true,
      stream_options: { include_usage: true },
      ...(prompt.kind === 'messages' ? promptFields(prompt, target) : {}),
      ...(prompt.kind === 'text' ? { prompt: prompt.text } : {}),
      ...(prompt.kind === 'tokens' ? { prompt: prompt.tokens } : {}),
      // Without a limit of ours the server's own holds.
      ...(Number.isFinite(maxTokens) ? { max_tokens: maxTokens } : {}),
      ...samplingFields(request.sampling, target),
      ...(stop.length > 0 ? { stop } : {}),
      ...logprobFields(request, kind, dialect),
      ...formatField(request.responseFormat),
      ...(request.ignoreEos ? { ignore_eos: true } : {}),
      ...dialect.cache({ tenant, shared: target.sharedPrefixCache, wanted: cachePrompt }),
    },
  };
}
