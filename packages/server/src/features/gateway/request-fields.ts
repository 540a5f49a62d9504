// What of OpenAI's API is refused, and what is taken without effect: tables, one an endpoint. Every other
// known field is honoured by the code that reads it. docs/guides/openai-compatibility.md shows the same
// tables to people, and a test holds the two together.
import { CorralError } from '@corral/contracts';
import { maxJsonDepth } from './json-depth.ts';

export const endpoints = ['chat', 'completions', 'embeddings'] as const;
export type Endpoint = (typeof endpoints)[number];

interface Refusal {
  readonly reason: string;
  /** Values that ask for nothing special; absent: only null, undefined and an empty list. */
  readonly accepts?: (value: unknown) => boolean;
}
type Refusals = Readonly<Record<string, Refusal>>;

export const unsupported = (param: string, reason: string): CorralError =>
  new CorralError('unsupported_parameter', { params: { param, reason }, param });
export const invalid = (param: string, reason: string): CorralError =>
  new CorralError('invalid_request', { params: { reason: `"${param}" ${reason}` }, param });

export const tooDeep = `has more than ${maxJsonDepth} levels`;

export const isEmpty = (value: unknown): boolean =>
  value === undefined || value === null || (Array.isArray(value) && value.length === 0);

const is =
  (...values: readonly unknown[]) =>
  (value: unknown): boolean =>
    values.includes(value);

/** Names that other servers give to what Corral takes elsewhere: silence would look like obedience. */
const elsewhere = (names: readonly string[]): Refusals =>
  Object.fromEntries(names.map((name) => [name, { reason: `send it as "corral.${name}"` }]));
const byFormat: Refusal = { reason: 'use "response_format" with a JSON schema' };
const corralNames = [
  'top_k',
  'min_p',
  'typical_p',
  'repetition_penalty',
  'ignore_eos',
  'cache_prompt',
  'deadline_ms',
] as const;

export const refusals: Readonly<Record<Endpoint, Refusals>> = {
  chat: {
    audio: { reason: 'only text can be generated' },
    modalities: {
      reason: 'only text can be generated',
      accepts: (value) => Array.isArray(value) && value.every(is('text')),
    },
    moderation: { reason: 'this server applies its policy packs; see GET /v1/policy' },
    prediction: { reason: 'predicted outputs are not available' },
    reasoning_effort: { reason: 'these models have no reasoning budget', accepts: is('none') },
    service_tier: { reason: 'there is one tier', accepts: is('auto', 'default') },
    store: { reason: 'completions are not stored', accepts: is(false) },
    verbosity: { reason: 'say in the prompt how long it shall be', accepts: is('medium') },
    web_search_options: { reason: 'this server does not search the web' },
    ...elsewhere([...corralNames, 'chat_template']),
    best_of: { reason: 'it belongs to /v1/completions; here use "n"', accepts: is(1) },
    chat_template_kwargs: { reason: 'templates take no arguments here' },
    continue_final_message: { reason: 'every answer is a new turn', accepts: is(false) },
    echo: { reason: 'it belongs to /v1/completions', accepts: is(false) },
    grammar: byFormat,
    guided_choice: byFormat,
    guided_grammar: byFormat,
    guided_json: byFormat,
    guided_regex: byFormat,
    json_schema: byFormat,
  },
  completions: {
    suffix: { reason: 'text cannot be inserted before a suffix', accepts: is('') },
    response_format: { reason: 'it belongs to /v1/chat/completions' },
    tools: { reason: 'it belongs to /v1/chat/completions' },
    ...elsewhere(corralNames),
    use_beam_search: { reason: 'answers are sampled', accepts: is(false) },
  },
  embeddings: {},
};

/** Accepted, and without effect on the answer; each with the reason why that is honest. */
export const unused: Readonly<Record<Endpoint, Readonly<Record<string, string>>>> = {
  chat: {
    metadata: 'belongs to stored completions, and none are stored',
    prompt_cache_key: 'prompts are matched by their tokens, so no key is needed',
    prompt_cache_options: 'as prompt_cache_key',
    prompt_cache_retention: 'as prompt_cache_key',
    safety_identifier: 'the evidence log names the API key',
    user: 'the evidence log names the API key',
  },
  completions: { user: 'the evidence log names the API key' },
  embeddings: { user: 'the evidence log names the API key' },
};

/** Throws unsupported_parameter for the first field that cannot be honoured. */
export function refuseUnsupported(
  endpoint: Endpoint,
  body: Readonly<Record<string, unknown>>,
): void {
  const table = refusals[endpoint];
  for (const name of Object.keys(body)) {
    const refusal = Object.hasOwn(table, name) ? table[name] : undefined;
    const value = body[name];
    if (!refusal || isEmpty(value) || refusal.accepts?.(value)) continue;
    throw unsupported(name, refusal.reason);
  }
}
