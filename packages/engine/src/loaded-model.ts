// A model that is ready to serve: native model, context, template, scheduler, adapters, and how a request
// becomes a task. Owns them all. Knows no IPC.
import {
  CorralError,
  type EngineModelInfo,
  type EngineOptions,
  type GenerationEvent,
  type Prompt,
  type RenderResult,
  type ScoreResult,
} from '@corral/contracts';
import { createAdapters, type Adapters } from './adapters.ts';
import { createAdapterDecoding } from './adapters/adapter-decoding.ts';
import type { NativeContext, NativeLibrary, NativeModel } from './llama-cpp/native-types.ts';
import type { CheckModelFile } from './model-file.ts';
import { createChatTemplates } from './prompt/chat-templates.ts';
import { renderPrompt, type RenderedPrompt } from './prompt/prompt-tokens.ts';
import { Scheduler } from './scheduler/scheduler.ts';
import { createAnswerRules } from './tasks/answer-rules.ts';
import { GenerationTask, type GenerateRequest } from './tasks/generation-task.ts';
import { createScoreTask, type ScoreRequest } from './tasks/score-task.ts';
import { chooseThreads } from './threads.ts';

/**
 * Rows of logits a step can have when few sequences run: scoring takes many at once. A row of a large
 * vocabulary is half a megabyte, and llama.cpp reserves all of them.
 */
const minimumOutputs = 64;

export interface LoadedModel {
  readonly info: EngineModelInfo;
  readonly scheduler: Scheduler;
  readonly adapters: Adapters;
  readonly tokensGenerated: number;
  generate(request: GenerateRequest): void;
  score(request: ScoreRequest): void;
  render(prompt: Prompt): RenderResult;
  /** Idempotent. */
  close(): void;
}

export interface LoadOptions {
  readonly library: NativeLibrary;
  readonly checkFile: CheckModelFile;
  readonly path: string;
  readonly options: EngineOptions;
  readonly emit: (event: GenerationEvent) => void;
  readonly finishScore: (id: string, result: ScoreResult) => void;
  readonly fail: (id: string, error: CorralError) => void;
}

const gibibytes = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

/** Refuses a context that cannot fit: llama.cpp would take all memory first and fail then. */
function checkMemory(model: NativeModel, options: EngineOptions, outputs: number): void {
  const cache = model.info.cacheBytesPerToken * options.n_ctx * options.n_seq_max;
  // Logits exist twice: in the graph and in the buffer that is read.
  const needed = cache + 2 * outputs * model.vocabulary.size * 4;
  const available = process.availableMemory();
  if (needed > available)
    throw new CorralError('memory_too_small', {
      params: { needed: gibibytes(needed), available: gibibytes(available) },
      param: 'n_ctx',
    });
}

/** Beyond what it was trained on a model only babbles; the answer to `load` says what it got. */
const contextLength = ({ info }: NativeModel, { n_ctx }: EngineOptions): number =>
  Math.min(n_ctx, info.trainedContext || n_ctx);

function openContext(model: NativeModel, wanted: EngineOptions): NativeContext {
  const n_ctx = contextLength(model, wanted);
  const options = { ...wanted, n_ctx };
  const outputs = Math.max(options.n_seq_max, Math.min(minimumOutputs, options.n_batch));
  checkMemory(model, options, outputs);
  return model.createContext({
    sequenceTokens: n_ctx,
    sequences: options.n_seq_max,
    // Every running sequence must find room for its token.
    batchTokens: Math.max(options.n_batch, options.n_seq_max),
    outputs,
    threads: options.n_threads === 0 ? chooseThreads() : options.n_threads,
    stacks: ['auto', 'stacked'].includes(options.adapter_batching),
  });
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

/** Checks the file, loads it and makes its context. Throws CorralError. */
export async function openLoadedModel(load: LoadOptions): Promise<LoadedModel> {
  await load.checkFile(load.path, 'model');
  const model = load.library.loadModel(load.path);
  try {
    return assemble(model, openContext(model, load.options), load);
  } catch (error) {
    model.close();
    throw error;
  }
}

function modelInfo(
  { info, vocabulary }: NativeModel,
  n_ctx: number,
  build: string,
): EngineModelInfo {
  return {
    architecture: info.architecture,
    n_vocab: vocabulary.size,
    n_ctx,
    n_ctx_train: info.trainedContext,
    n_params: info.parameters,
    size_bytes: info.sizeBytes,
    build,
  };
}

function assemble(model: NativeModel, context: NativeContext, load: LoadOptions): LoadedModel {
  const { vocabulary } = model;
  // llama.cpp rounds up; what was promised is what counts.
  const contextTokens = contextLength(model, load.options);
  const templates = createChatTemplates(model);
  const decoding = createAdapterDecoding({
    library: load.library,
    model,
    modelPath: load.path,
    context,
    mode: load.options.adapter_batching,
  });
  const scheduler = new Scheduler(context, {
    strategy: decoding,
    prefixCacheBytes: load.options.prefix_cache_bytes,
    cacheBytesPerToken: model.info.cacheBytesPerToken,
    speculates: load.options.speculation === 'auto',
  });
  scheduler.warmUp();
  const adapters = createAdapters({ decoding, scheduler, checkFile: load.checkFile });
  const answers = createAnswerRules(vocabulary);
  let tokensGenerated = 0;
  const render = (prompt: Prompt, maxTokens: number): RenderedPrompt =>
    renderPrompt(prompt, {
      vocabulary,
      template: templates.of(prompt),
      limits: { contextTokens, maxTokens },
    });

  return {
    info: modelInfo(model, contextTokens, load.library.release),
    scheduler,
    adapters,
    get tokensGenerated() {
      return tokensGenerated;
    },
    generate: (request) => {
      checkBias(request, vocabulary.size);
      const adapter = adapters.get(request.adapter_id);
      const answer = answers.rulesOf(request, templates.of(request.prompt));
      const prompt = render(request.prompt, request.max_tokens);
      const emit = (event: GenerationEvent): void => {
        tokensGenerated += event.tokens.length;
        load.emit(event);
      };
      const { fail } = load;
      const options = { request, prompt, vocabulary, adapter, answer, emit, fail };
      const task = new GenerationTask(options);
      if (!task.finished) scheduler.submit(task);
    },
    score: (request) => {
      checkForced(request, vocabulary.size);
      const adapter = adapters.get(request.adapter_id);
      const promptTokens = render(request.prompt, request.forced_tokens.length).tokens;
      const finish = (result: ScoreResult): void => load.finishScore(request.id, result);
      const options = { request, promptTokens, adapter, finish, fail: load.fail };
      scheduler.submit(createScoreTask(options));
    },
    render: (prompt) => {
      const { text, tokens } = render(prompt, 0);
      return { text, tokens };
    },
    close: () => model.close(),
  };
}
