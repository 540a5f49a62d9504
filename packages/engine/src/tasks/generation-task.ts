// One request's generation: samples from each row of logits, joins bytes to characters, looks for stop
// strings, and says what is new. Knows nothing of batches and sequences.
import type {
  CorralError,
  EngineRequest,
  FinishReason,
  GenerationEvent,
  TokenLogprob,
} from '@corral/contracts';
import { CorralError as EngineError } from '@corral/contracts';
import type { NativeAdapter, NativeVocabulary } from '../llama-cpp/native-types.ts';
import { createPrefixFilter } from '../prompt/prefix-filter.ts';
import { createStopFilter } from '../prompt/stop-strings.ts';
import { createUtf8Assembler, pieceText } from '../prompt/utf8-assembler.ts';
import { logprobsOf, topLogprobs } from '../sampling/logprobs.ts';
import { createSampler } from '../sampling/sampler.ts';
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

export function createGenerationTask(options: GenerationTaskOptions): SequenceTask {
  const { request, promptTokens, vocabulary, adapter, emit } = options;
  const tokens = [...promptTokens];
  const sampler = createSampler(request.sampling, {
    prompt: promptTokens,
    forbidden: request.ignore_eos ? vocabulary.endOfGeneration : [],
  });
  const assembler = createUtf8Assembler();
  const prefix = createPrefixFilter(options.answerPrefix);
  const stops = createStopFilter(request.stop);
  let finished = false;

  function send(news: Omit<GenerationEvent, 'id' | 'finish'>, reason: FinishReason | null): void {
    finished ||= reason !== null;
    const finish = reason && {
      reason,
      prompt_tokens: promptTokens.length,
      completion_tokens: tokens.length - promptTokens.length,
      cached_tokens: 0,
    };
    emit({ id: request.id, ...news, ...(finish ? { finish } : {}) });
  }

  /** Text and end of generation that a sampled token brings. */
  function advance(token: number): { text: string; reason: FinishReason | null } {
    if (vocabulary.endOfGeneration.has(token)) return { text: stops.flush(), reason: 'stop' };
    const shown = stops.push(prefix.push(assembler.push(vocabulary.piece(token))));
    if (shown.stopped) return { text: shown.text, reason: 'stop' };
    if (tokens.length - promptTokens.length < request.max_tokens)
      return { text: shown.text, reason: null };
    return { text: shown.text + stops.flush(), reason: 'length' };
  }

  function fail(error: CorralError): void {
    if (finished) return;
    finished = true;
    options.fail(request.id, error);
  }

  // Nothing is asked for: the counts are the answer.
  if (request.max_tokens === 0) send({ text: '', tokens: [] }, 'length');

  return {
    id: request.id,
    tenant: request.tenant,
    adapter,
    tokens,
    get finished() {
      return finished;
    },
    wantsLogits: (position) => position >= promptTokens.length - 1,
    acceptLogits: (_position, row) => {
      const token = sampler.sample(row);
      if (token < 0) {
        const reason = 'the model answered with numbers that are not finite';
        return fail(new EngineError('engine_failed', { params: { reason } }));
      }
      tokens.push(token);
      const { text, reason } = advance(token);
      // The token that ends a turn has no text: it is counted, but no log-probability is shown for it.
      const shows =
        request.top_logprobs !== null && !vocabulary.endOfGeneration.has(token)
          ? { logprobs: [describeLogprob(vocabulary, row, token, request.top_logprobs)] }
          : {};
      return send({ text, tokens: [token], ...shows }, reason);
    },
    cancel: () => {
      if (!finished) send({ text: stops.flush(), tokens: [] }, 'cancelled');
    },
    fail,
  };
}
