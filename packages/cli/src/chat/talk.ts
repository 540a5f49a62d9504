// A model that is talked to: one answer streamed through OpenAI's own client, and how it went. Knows no
// terminal.
import type { PolicyNotice } from '@corral/contracts';
import type OpenAI from 'openai';

export interface Message {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

/** How answers are made; what is absent is the server's default. */
export interface TalkSettings {
  readonly temperature?: number;
  readonly top_p?: number;
  readonly max_tokens?: number;
  readonly seed?: number;
  readonly top_k?: number;
}

export interface Answer {
  readonly content: string;
  readonly finish_reason: string | null;
  readonly usage: OpenAI.CompletionUsage | null;
  /** What the server's policy did to it. */
  readonly policy: readonly PolicyNotice[];
  /** From the first piece to the last; 0 when there was one. */
  readonly seconds: number;
}

export interface Asked {
  readonly model: string;
  readonly messages: readonly Message[];
  readonly settings: TalkSettings;
}

/** Chunks carry Corral's addition beside what the client's types know. */
type Chunk = OpenAI.ChatCompletionChunk & {
  readonly corral?: { readonly policy?: readonly PolicyNotice[] };
};

/** Streams one answer; `onText` sees the pieces. */
export async function streamAnswer(
  openai: OpenAI,
  { model, messages, settings: { top_k, ...settings } }: Asked,
  options: { readonly onText: (text: string) => void; readonly signal: AbortSignal },
): Promise<Answer> {
  const request = {
    model,
    messages: [...messages],
    stream: true as const,
    stream_options: { include_usage: true },
    ...settings,
    // Not a field of OpenAI's: the client sends it as it is.
    ...(top_k === undefined ? {} : { corral: { top_k } }),
  };
  const stream = await openai.chat.completions.create(request, { signal: options.signal });
  const answer = {
    content: '',
    finish_reason: null as string | null,
    usage: null as OpenAI.CompletionUsage | null,
    policy: [] as readonly PolicyNotice[],
  };
  let since = 0;
  for await (const chunk of stream) {
    const { choices, usage, corral }: Chunk = chunk;
    const text = choices[0]?.delta.content ?? '';
    if (text !== '') {
      since ||= performance.now();
      options.onText(text);
    }
    answer.content += text;
    answer.finish_reason = choices[0]?.finish_reason ?? answer.finish_reason;
    answer.usage = usage ?? answer.usage;
    answer.policy = corral?.policy ?? answer.policy;
  }
  return { ...answer, seconds: since === 0 ? 0 : (performance.now() - since) / 1000 };
}

/** One line about an answer: tokens, speed, what came from the cache, and what a person must know. */
export function describeAnswer({ usage, seconds, finish_reason, policy }: Answer): string {
  const parts: string[] = [];
  if (usage) {
    const { prompt_tokens: prompt, completion_tokens: completion } = usage;
    const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
    parts.push(`${prompt} + ${completion} tokens`);
    if (cached > 0) parts.push(`${cached} of the prompt from the cache`);
    if (seconds > 0 && completion > 1)
      parts.push(`${((completion - 1) / seconds).toFixed(1)} tok/s`);
  }
  if (finish_reason !== null && finish_reason !== 'stop') parts.push(`ended by ${finish_reason}`);
  for (const { action, code } of policy) parts.push(`policy: ${action} ${code}`);
  return parts.join(' · ');
}
