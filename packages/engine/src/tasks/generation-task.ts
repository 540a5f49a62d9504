// One request's generation: samples from each row of logits, joins bytes to characters, looks for stop
// strings, and says what is new. Knows nothing of batches and sequences.
import {
  CorralError,
  type EngineRequest,
  type FinishReason,
  type GenerationEvent,
  type TokenLogprob,
} from '@corral/contracts';
import type { NativeAdapter, NativeVocabulary } from '../llama-cpp/native-types.ts';
import { createPrefixFilter, type PrefixFilter } from '../prompt/prefix-filter.ts';
import { createStopFilter, type StopFilter } from '../prompt/stop-strings.ts';
import { createUtf8Assembler, pieceText } from '../prompt/utf8-assembler.ts';
import { logprobsOf, topLogprobs } from '../sampling/logprobs.ts';
import { createSampler, type Sampler } from '../sampling/sampler.ts';
import type { SequenceTask } from '../scheduler/sequence-task.ts';

export type GenerateRequest = Extract<EngineRequest, { type: 'generate' }>;

export interface GenerationTaskOptions {
  readonly request: GenerateRequest;
  readonly promptTokens: readonly number[];
  readonly vocabulary: NativeVocabulary;
  readonly adapter: NativeAdapter | null;
  /** White space that belongs to the template, not to the answer. */
  readonly answerPrefix: string;
  readonly emit: (event: GenerationEvent) => void;
  readonly fail: (id: string, error: CorralError) => void;
}

/** Log-probability entry of a token and its alternatives, from the model's own distribution. */
function describeLogprob(
  vocabulary: NativeVocabulary,
  row: Float32Array,
  token: number,
  alternatives: number,
): TokenLogprob {
  const describe = (id: number, logprob: number) => {
    const bytes = vocabulary.piece(id);
    return { token: id, text: pieceText(bytes), bytes: [...bytes], logprob };
  };
  const [own = 0] = logprobsOf(row, [token]);
  return {
    ...describe(token, own),
    top: topLogprobs(row, alternatives).map(([id, logprob]) => describe(id, logprob)),
  };
}

export class GenerationTask implements SequenceTask {
  readonly id: string;
  readonly tenant: string;
  readonly adapter: NativeAdapter | null;
  readonly tokens: number[];
  readonly maxTokens: number;
  readonly cacheable: boolean;
  readonly speculative = true;
  readonly deadline: number | null;
  readonly #options: GenerationTaskOptions;
  readonly #sampler: Sampler;
  readonly #assembler = createUtf8Assembler();
  readonly #prefix: PrefixFilter;
  readonly #stops: StopFilter;
  #cachedTokens = 0;
  #finished = false;

  constructor(options: GenerationTaskOptions) {
    const { request, promptTokens, vocabulary } = options;
    this.#options = options;
    this.id = request.id;
    this.tenant = request.tenant;
    this.adapter = options.adapter;
    this.tokens = [...promptTokens];
    this.maxTokens = promptTokens.length + request.max_tokens;
    this.cacheable = request.cache_prompt;
    this.deadline = request.deadline_ms === null ? null : performance.now() + request.deadline_ms;
    this.#prefix = createPrefixFilter(options.answerPrefix);
    this.#stops = createStopFilter(request.stop);
    this.#sampler = createSampler(request.sampling, {
      prompt: promptTokens,
      forbidden: request.ignore_eos ? vocabulary.endOfGeneration : [],
    });
    // Nothing is asked for: the counts are the answer.
    if (request.max_tokens === 0) this.#send({ text: '', tokens: [] }, 'length');
  }

  get finished(): boolean {
    return this.#finished;
  }

  wantsLogits(position: number): boolean {
    return position >= this.#options.promptTokens.length - 1;
  }

  acceptLogits(_position: number, row: Float32Array): void {
    const { request, vocabulary } = this.#options;
    const token = this.#sampler.sample(row);
    if (token < 0) {
      const reason = 'the model answered with numbers that are not finite';
      this.fail(new CorralError('engine_failed', { params: { reason } }));
      return;
    }
    this.tokens.push(token);
    const { text, reason } = this.#advance(token);
    // The token that ends a turn has no text: it is counted, but no log-probability is shown for it.
    const shows =
      request.top_logprobs !== null && !vocabulary.endOfGeneration.has(token)
        ? { logprobs: [describeLogprob(vocabulary, row, token, request.top_logprobs)] }
        : {};
    this.#send({ text, tokens: [token], ...shows }, reason);
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
    if (!this.#finished) this.#send({ text: this.#stops.flush(), tokens: [] }, reason);
  }

  get #completionTokens(): number {
    return this.tokens.length - this.#options.promptTokens.length;
  }

  /** Text and end of generation that a sampled token brings. */
  #advance(token: number): { text: string; reason: FinishReason | null } {
    const { request, vocabulary } = this.#options;
    if (vocabulary.endOfGeneration.has(token)) return { text: this.#stops.flush(), reason: 'stop' };
    const text = this.#assembler.push(vocabulary.piece(token));
    const shown = this.#stops.push(this.#prefix.push(text));
    if (shown.stopped) return { text: shown.text, reason: 'stop' };
    if (this.#completionTokens < request.max_tokens) return { text: shown.text, reason: null };
    return { text: shown.text + this.#stops.flush(), reason: 'length' };
  }

  #send(news: Omit<GenerationEvent, 'id' | 'finish'>, reason: FinishReason | null): void {
    this.#finished ||= reason !== null;
    const finish = reason && {
      reason,
      prompt_tokens: this.#options.promptTokens.length,
      completion_tokens: this.#completionTokens,
      cached_tokens: this.#cachedTokens,
    };
    this.#options.emit({ id: this.id, ...news, ...(finish ? { finish } : {}) });
  }
}
