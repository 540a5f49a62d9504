// How requests to a loaded model become work: checked, rendered, handed to the scheduler or the embedder.
// Owns neither; knows no IPC.
import {
  CorralError,
  type EmbedResult,
  type GenerationEvent,
  type Prompt,
  type RenderResult,
  type ScoreResult,
} from '@corral/contracts';
import type { Adapters } from './adapters.ts';
import type { AdapterDecoding } from './adapters/adapter-decoding.ts';
import type { Embedder, EmbedRequest } from './embeddings/embedder.ts';
import { openEmbedder } from './embeddings/open-embedder.ts';
import type { NativeModel } from './llama-cpp/native-types.ts';
import { createChatTemplates } from './prompt/chat-templates.ts';
import { renderPrompt, type RenderedPrompt } from './prompt/prompt-tokens.ts';
import { pieceText } from './prompt/utf8-assembler.ts';
import type { Scheduler } from './scheduler/scheduler.ts';
import { createAnswerRules } from './tasks/answer-rules.ts';
import { GenerationTask, type GenerateRequest } from './tasks/generation-task.ts';
import { createScoreTask, type ScoreRequest } from './tasks/score-task.ts';

export interface ModelRequests {
  readonly tokensGenerated: number;
  readonly embedder: Embedder;
  generate(request: GenerateRequest): void;
  score(request: ScoreRequest): void;
  embed(request: EmbedRequest): void;
  render(prompt: Prompt): RenderResult;
  /** Works ahead for about `ms` while nobody waits; true when nothing is left. */
  prepare(ms: number): boolean;
}

export interface ModelRequestsOptions {
  readonly model: NativeModel;
  readonly contextTokens: number;
  readonly threads: number;
  readonly scheduler: Scheduler;
  readonly adapters: Adapters;
  readonly decoding: AdapterDecoding;
  readonly emit: (event: GenerationEvent) => void;
  /** Answers a request that has one answer. */
  readonly finish: (id: string, result: ScoreResult | EmbedResult) => void;
  readonly fail: (id: string, error: CorralError) => void;
}

function checkBias(request: GenerateRequest, vocabularySize: number): void {
  const wrong = request.sampling.logit_bias.find(([token]) => token >= vocabularySize);
  if (wrong)
    throw new CorralError('invalid_request', {
      params: { reason: `logit_bias names token ${wrong[0]}, which is not in the vocabulary` },
      param: 'logit_bias',
    });
}

function checkForced({ forced_tokens, wanted }: ScoreRequest, vocabularySize: number): void {
  const all = [...forced_tokens, ...wanted.flat()];
  const wrong = all.find((token) => token >= vocabularySize);
  const reason =
    wrong === undefined
      ? forced_tokens.length === 0 && 'forced_tokens is empty'
      : `token ${wrong} is not in the vocabulary of ${vocabularySize} tokens`;
  if (reason)
    throw new CorralError('invalid_request', { params: { reason }, param: 'forced_tokens' });
}

/** Throws CorralError `model_unsupported` when the model's chat template cannot be used. */
export function createModelRequests(options: ModelRequestsOptions): ModelRequests {
  const { model, contextTokens, threads, scheduler, adapters, decoding, fail, finish } = options;
  const { vocabulary } = model;
  const templates = createChatTemplates(model);
  const answers = createAnswerRules(vocabulary);
  let tokensGenerated = 0;
  const embedder = openEmbedder({
    ...{ model, contextTokens, threads, finish, fail },
    adapter: (id) => {
      const adapter = adapters.get(id);
      return adapter && decoding.native(adapter);
    },
  });
  const emit = (event: GenerationEvent): void => {
    tokensGenerated += event.tokens.length;
    options.emit(event);
  };
  const render = (prompt: Prompt, maxTokens: number): RenderedPrompt => {
    const template = templates.of(prompt);
    return renderPrompt(prompt, { vocabulary, template, limits: { contextTokens, maxTokens } });
  };
  /** Models made for embeddings may want the end of the text marked. */
  const embedTokens = (prompt: Prompt): readonly number[] => {
    const { addEos, eos } = vocabulary;
    const marked = addEos && eos !== null && prompt.kind !== 'tokens';
    const { tokens } = render(prompt, marked ? 1 : 0);
    return marked ? [...tokens, eos] : tokens;
  };

  return {
    embedder,
    prepare: answers.prepare,
    get tokensGenerated() {
      return tokensGenerated;
    },
    generate: (request) => {
      checkBias(request, vocabulary.size);
      const adapter = adapters.get(request.adapter_id);
      const answer = answers.rulesOf(request, templates.of(request.prompt));
      const prompt = render(request.prompt, request.max_tokens);
      const task = new GenerationTask({ request, prompt, vocabulary, adapter, answer, emit, fail });
      if (!task.finished) scheduler.submit(task);
    },
    score: (request) => {
      checkForced(request, vocabulary.size);
      const adapter = adapters.get(request.adapter_id);
      const promptTokens = render(request.prompt, request.forced_tokens.length).tokens;
      const done = (result: ScoreResult): void => finish(request.id, result);
      scheduler.submit(createScoreTask({ request, promptTokens, adapter, finish: done, fail }));
    },
    embed: (request) => embedder.submit(request, request.prompts.map(embedTokens)),
    render: (prompt) => {
      const { text, tokens } = render(prompt, 0);
      const pieces = tokens.map((token) =>
        vocabulary.isControl(token)
          ? vocabulary.spelling(token)
          : pieceText(vocabulary.piece(token)),
      );
      return { text, tokens, pieces };
    },
  };
}
