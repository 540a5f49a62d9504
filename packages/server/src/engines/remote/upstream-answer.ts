// The chunks of one streamed answer as generation events: text, tool calls, log-probabilities, and at the end
// what was used. Every field of a chunk may be missing or of another kind than promised.
import { randomUUID } from 'node:crypto';
import type { FinishReason, GenerationEvent, TokenLogprob, ToolCallDelta } from '@corral/contracts';
import { parseJson } from './upstream-client.ts';
import { UpstreamFailure, wordsOf } from './upstream-failure.ts';

type Tree = Readonly<Record<string, unknown>>;
const tree = (value: unknown): Tree | null =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Tree) : null;
const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const count = (value: unknown): number | null =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;

/** A server that does not heed max_tokens would go on for ever. */
const maxCharacters = 64 * 2 ** 20;
const maxToolCalls = 128;
/** Where a server gives no token ids. */
const unknownToken = -1;

const finishReasons: Readonly<Record<string, FinishReason>> = {
  stop: 'stop',
  length: 'length',
  tool_calls: 'tool_calls',
  function_call: 'tool_calls',
};

export interface AnswerOptions {
  readonly id: string;
  readonly kind: 'chat' | 'text';
  /** Alternatives that were asked for; null: no log-probabilities. */
  readonly topLogprobs: number | null;
}

export interface Usage {
  readonly prompt: number | null;
  readonly completion: number;
  readonly cached: number;
}

export class UpstreamAnswer {
  readonly #options: AnswerOptions;
  #reason: FinishReason | null = null;
  #usage: Tree | null = null;
  #characters = 0;
  /** Chunks with something in them: most servers send one a token. */
  #chunks = 0;
  #ended = false;
  readonly #calls = new Set<number>();

  constructor(options: AnswerOptions) {
    this.#options = options;
  }

  /** Nothing more is to come. */
  get ended(): boolean {
    return this.#ended;
  }

  /** So far. Without the server's own figures tokens are counted as chunks, and the prompt's are unknown. */
  get usage(): Usage {
    const cached = tree(this.#usage?.['prompt_tokens_details'])?.['cached_tokens'];
    return {
      prompt: count(this.#usage?.['prompt_tokens']),
      completion: count(this.#usage?.['completion_tokens']) ?? this.#chunks,
      cached: count(cached) ?? 0,
    };
  }

  /** Null: nothing that a reader would notice. Throws UpstreamFailure. */
  read(data: string): GenerationEvent | null {
    if (data.trim() === '[DONE]') {
      this.#ended = true;
      return null;
    }
    const chunk = tree(parseJson(data));
    if (!chunk) throw new UpstreamFailure(`it sent no chunk but ${data.slice(0, 80)}`);
    if (chunk['error'] !== undefined && chunk['error'] !== null)
      throw new UpstreamFailure(`it broke off: ${wordsOf(data)}`);
    this.#usage = tree(chunk['usage']) ?? this.#usage;
    const choice = tree(list(chunk['choices'])[0]);
    return choice === null ? null : this.#readChoice(choice);
  }

  /** Why it ended. Throws UpstreamFailure when it was cut before it could say. */
  finishReason(): FinishReason {
    if (this.#reason === null) throw new UpstreamFailure('the stream was cut', { transient: true });
    return this.#reason;
  }

  #readChoice(choice: Tree): GenerationEvent | null {
    const { id, kind, topLogprobs } = this.#options;
    const reason = choice['finish_reason'];
    if (typeof reason === 'string') this.#reason = this.#finishOf(reason);
    const delta = tree(choice['delta']) ?? {};
    const piece = text(kind === 'chat' ? delta['content'] : choice['text']);
    const calls = toolCalls(list(delta['tool_calls'])).map((call) => this.#named(call));
    const logprobs = topLogprobs === null ? [] : readLogprobs(choice['logprobs'], topLogprobs);
    if (piece === '' && calls.length === 0 && logprobs.length === 0) return null;
    this.#chunks++;
    this.#characters += piece.length + calls.reduce((sum, call) => sum + call.arguments.length, 0);
    if (this.#characters > maxCharacters) throw new UpstreamFailure('its answer has no end');
    return {
      id,
      text: piece,
      tokens: logprobs.flatMap(({ token }) => (token === unknownToken ? [] : [token])),
      ...(logprobs.length > 0 ? { logprobs } : {}),
      ...(calls.length > 0 ? { tool_calls: calls } : {}),
    };
  }

  /** A call's first news has an id, also where the server gives none. */
  #named(call: ToolCallDelta): ToolCallDelta {
    if (this.#calls.has(call.index)) return call;
    this.#calls.add(call.index);
    return call.id === undefined ? { ...call, id: `call_${randomUUID()}` } : call;
  }

  #finishOf(reason: string): FinishReason {
    const known = finishReasons[reason];
    if (known !== undefined) return known;
    // An answer that was withheld must not look like one that ended by itself.
    throw new UpstreamFailure(`it ended the answer: ${reason.slice(0, 80)}`);
  }
}

function toolCalls(deltas: readonly unknown[]): ToolCallDelta[] {
  return deltas.flatMap((value, position) => {
    const delta = tree(value);
    if (!delta) return [];
    const index = count(delta['index']) ?? position;
    if (index >= maxToolCalls) throw new UpstreamFailure(`more than ${maxToolCalls} tool calls`);
    const called = tree(delta['function']) ?? {};
    const [id, name] = [text(delta['id']), text(called['name'])];
    return {
      index,
      ...(id === '' ? {} : { id }),
      ...(name === '' ? {} : { name }),
      arguments: text(called['arguments']),
    };
  });
}

type Alternative = TokenLogprob['top'][number];

function alternative(value: unknown): Alternative {
  const { token, bytes, logprob, id } = tree(value) ?? {};
  const known = list(bytes).filter((byte) => typeof byte === 'number');
  return {
    token: count(id) ?? unknownToken,
    text: text(token),
    bytes: known.length > 0 ? known : [...Buffer.from(text(token))],
    // Minus infinity is no JSON: servers write null, or a very small number.
    logprob: typeof logprob === 'number' ? Math.min(0, logprob) : -9999,
  };
}

/** OpenAI's form for chats (llama-server's for completions, too), or the old one of completions. */
function readLogprobs(value: unknown, top: number): TokenLogprob[] {
  const found = tree(value);
  const content = list(found?.['content']);
  if (content.length > 0) {
    return content.map((entry) => {
      const others = list(tree(entry)?.['top_logprobs']).slice(0, top);
      return { ...alternative(entry), top: others.map(alternative) };
    });
  }
  const [logprobs, tops] = [list(found?.['token_logprobs']), list(found?.['top_logprobs'])];
  return list(found?.['tokens']).map((token, i) => ({
    ...alternative({ token, logprob: logprobs[i] }),
    top: Object.entries(tree(tops[i]) ?? {})
      .slice(0, top)
      .map(([other, logprob]) => alternative({ token: other, logprob })),
  }));
}
