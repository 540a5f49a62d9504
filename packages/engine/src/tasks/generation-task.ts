// One request's generation: samples from each row of logits under what the answer must be, and says what is
// new. Knows nothing of batches and sequences, nor how text is cut (answer-text.ts).
import {
  CorralError,
  type EngineRequest,
  type FinishReason,
  type GenerationEvent,
} from '@corral/contracts';
import type { TokenConstraint } from '../grammar/token-constraint.ts';
import type { NativeAdapter, NativeVocabulary } from '../llama-cpp/native-types.ts';
import { createSampler, type Sampler } from '../sampling/sampler.ts';
import { argmax } from '../sampling/softmax.ts';
import type { RenderedPrompt } from '../prompt/prompt-tokens.ts';
import type { SequenceTask } from '../scheduler/sequence-task.ts';
import type { ToolCallParser } from '../tools/tool-call-parser.ts';
import { createAnswerText, type AnswerText } from './answer-text.ts';
import { createPromptEcho, type PromptEcho } from './prompt-echo.ts';
import { describeLogprob, type LogprobOptions } from './token-logprobs.ts';

export type GenerateRequest = Extract<EngineRequest, { type: 'generate' }>;

/** What an answer must be and how it is read. */
export interface AnswerRules {
  /** White space that belongs to the template, not to the answer. */
  readonly prefix: string;
  /** Null: any text. */
  readonly constraint: TokenConstraint | null;
  /** Null: no tools. */
  readonly parser: ToolCallParser | null;
  /** Bytes a token adds to the answer. */
  readonly bytes: (token: number) => Uint8Array;
}

export interface GenerationTaskOptions {
  readonly request: GenerateRequest;
  readonly prompt: Omit<RenderedPrompt, 'boundary'> & { readonly boundary?: number };
  readonly vocabulary: NativeVocabulary;
  readonly adapter: NativeAdapter | null;
  readonly answer: AnswerRules;
  readonly emit: (event: GenerationEvent) => void;
  readonly fail: (id: string, error: CorralError) => void;
}

type News = Omit<GenerationEvent, 'id' | 'finish' | 'prompt'>;
const nothing: News = { text: '', tokens: [] };

const failure = (reason: string): CorralError =>
  new CorralError('engine_failed', { params: { reason } });

/** Whoever names adapters by their content has them found again after a restart. */
const digestPattern = /^[0-9a-f]{64}$/;

export class GenerationTask implements SequenceTask {
  readonly id: string;
  readonly tenant: string;
  readonly adapter: NativeAdapter | null;
  readonly adapterDigest: string | null;
  readonly tokens: number[];
  readonly maxTokens: number;
  readonly boundary: number;
  readonly cacheable: boolean;
  readonly speculative = true;
  readonly deadline: number | null;
  readonly #options: GenerationTaskOptions;
  readonly #sampler: Sampler;
  readonly #text: AnswerText;
  readonly #logprobs: LogprobOptions | null;
  /** Until it has been sent. */
  #echo: PromptEcho | null;
  #cachedTokens = 0;
  #finished = false;

  constructor(options: GenerationTaskOptions) {
    const { request, prompt, vocabulary, answer } = options;
    this.#options = options;
    this.id = request.id;
    this.tenant = request.tenant;
    this.adapter = options.adapter;
    this.adapterDigest = digestPattern.test(request.adapter_id ?? '') ? request.adapter_id : null;
    this.tokens = [...prompt.tokens];
    this.maxTokens = prompt.tokens.length + request.max_tokens;
    this.boundary = prompt.boundary ?? 0;
    this.deadline = request.deadline_ms === null ? null : performance.now() + request.deadline_ms;
    const alternatives = request.top_logprobs;
    this.#logprobs = alternatives === null ? null : { vocabulary, alternatives };
    this.#echo = request.echo ? createPromptEcho({ ...prompt, logprobs: this.#logprobs }) : null;
    // What is found in the cache has no logits.
    this.cacheable = request.cache_prompt && this.#echo?.complete !== false;
    const { prefix, parser } = answer;
    this.#text = createAnswerText({ prefix, parser, stops: request.stop });
    this.#sampler = createSampler(request.sampling, {
      prompt: prompt.tokens,
      forbidden: request.ignore_eos ? vocabulary.endOfGeneration : [],
    });
    // Nothing is to be computed: the counts are the answer.
    if (request.max_tokens === 0 && this.#echo?.complete !== false) this.#send(nothing, 'length');
  }

  get finished(): boolean {
    return this.#finished;
  }

  wantsLogits(position: number): boolean {
    if (this.#echo?.wants(position)) return true;
    return this.#options.request.max_tokens > 0 && position >= this.#promptLength - 1;
  }

  acceptLogits(position: number, row: Float32Array): void {
    if (position < this.#promptLength - 1) {
      this.#echo?.accept(position, row);
      if (this.#options.request.max_tokens === 0 && this.#echo?.complete)
        this.#send(nothing, 'length');
      return;
    }
    try {
      this.#sample(row);
    } catch (error) {
      // A schema that turns out to be too ambiguous ends its own request.
      if (!CorralError.isInstance(error)) throw error;
      this.fail(error);
    }
  }

  reused(count: number): void {
    this.#cachedTokens = count;
  }

  cancel(): void {
    this.#end('cancelled');
  }

  expire(): void {
    this.#end('deadline');
  }

  fail(error: CorralError): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#options.fail(this.id, error);
  }

  #end(reason: FinishReason): void {
    if (!this.#finished) this.#send({ ...nothing, text: this.#text.flush() }, reason);
  }

  get #promptLength(): number {
    return this.#options.prompt.tokens.length;
  }

  get #completionTokens(): number {
    return this.tokens.length - this.#promptLength;
  }

  #sample(row: Float32Array): void {
    const { constraint } = this.#options.answer;
    const token = this.#sampler.sample(row, constraint);
    if (token < 0) {
      const sound = Number.isFinite(row[argmax(row)]);
      this.fail(
        failure(
          sound
            ? 'no token of the vocabulary can continue the answer in its format'
            : 'the model answered with numbers that are not finite',
        ),
      );
      return;
    }
    constraint?.accept(token);
    this.tokens.push(token);
    const { news, reason } = this.#advance(token);
    // The token that ends a turn has no text: it is counted, but no log-probability is shown for it.
    const shows =
      this.#logprobs && !this.#options.vocabulary.endOfGeneration.has(token)
        ? { logprobs: [describeLogprob(row, token, this.#logprobs)] }
        : {};
    this.#send({ ...news, ...shows }, reason);
  }

  /** News and end of generation that a sampled token brings. */
  #advance(token: number): { news: News; reason: FinishReason | null } {
    const { request, vocabulary, answer } = this.#options;
    const text = this.#text;
    const tokens = [token];
    if (vocabulary.endOfGeneration.has(token))
      return { news: { text: text.flush(), tokens }, reason: this.#ended() };
    const pushed = text.push(answer.bytes(token));
    const news = { tokens, ...(pushed.calls.length > 0 ? { tool_calls: pushed.calls } : {}) };
    if (pushed.stopped) return { news: { ...news, text: pushed.text }, reason: 'stop' };
    const reason = answer.constraint?.complete
      ? this.#ended()
      : this.#completionTokens >= request.max_tokens
        ? 'length'
        : null;
    const rest = reason === null ? '' : text.flush();
    return { news: { ...news, text: pushed.text + rest }, reason };
  }

  #ended(): FinishReason {
    return this.#text.calls ? 'tool_calls' : 'stop';
  }

  #send(news: News, reason: FinishReason | null): void {
    this.#finished ||= reason !== null;
    const finish = reason && {
      reason,
      prompt_tokens: this.#promptLength,
      completion_tokens: this.#completionTokens,
      cached_tokens: this.#cachedTokens,
    };
    const prompt = this.#echo && { prompt: this.#echo.read() };
    this.#echo = null;
    this.#options.emit({ id: this.id, ...prompt, ...news, ...(finish ? { finish } : {}) });
  }
}
