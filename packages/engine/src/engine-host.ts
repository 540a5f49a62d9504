// The engine behind its message contract: takes requests, drives the loaded model step by step, gives
// answers. One `tokens` message a step carries the news of all requests. Knows neither the IPC channel
// (worker.ts) nor native code (llama-cpp/).
import {
  CorralError,
  engineRequestSchema,
  toErrorPayload,
  type EngineMessage,
  type EngineRequest,
  type EngineStatus,
  type GenerationEvent,
} from '@corral/contracts';
import { encodeModel } from './encode-model.ts';
import { openLoadedModel, type LoadedModel } from './loaded-model.ts';
import type { NativeLibrary } from './llama-cpp/native-types.ts';
import type { CheckModelFile } from './model-file.ts';
import { chooseThreads } from './threads.ts';

export interface EngineHost {
  /** Handles one message of any shape; every failure is answered, none is thrown. */
  handle(message: unknown): Promise<void>;
  /** True while requests wait or run. */
  readonly busy: boolean;
  /** Works ahead for some milliseconds while there are no requests; false when nothing is left to do. */
  prepare(): boolean;
  /** One decode, and the message of what came of it. */
  step(): void;
  /** Something small that can wait until nothing else is to be done; false when there is nothing. */
  idle(): boolean;
  /** Frees native memory. Idempotent. */
  close(): void;
}

/** A child that is told to go is killed a little later: what is not on disk by then is lost. */
const persistMs = 1000;

export interface EngineHostOptions {
  /** Opens the native library when it is first needed. */
  readonly openLibrary: () => NativeLibrary;
  /** Refuses files that native code must not see. */
  readonly checkFile: CheckModelFile;
  readonly send: (message: EngineMessage) => void;
  /** Called once `shutdown` was answered. */
  readonly stop: () => void;
}

type RequestType = EngineRequest['type'];
type Handlers = {
  readonly [Type in RequestType]: (
    request: Extract<EngineRequest, { type: Type }>,
  ) => void | Promise<void>;
};

function parseRequest(message: unknown): EngineRequest {
  const parsed = engineRequestSchema.safeParse(message);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const param = issue?.path.join('.') ?? '';
  throw new CorralError('invalid_request', {
    params: { reason: `${param === '' ? 'the message' : param}: ${issue?.message ?? 'not valid'}` },
    param: param === '' ? null : param,
  });
}

const idOf = (message: unknown): string =>
  typeof message === 'object' && message !== null && 'id' in message ? String(message.id) : '';

/** A request that comes meanwhile waits no longer. */
const aheadMs = 5;

interface HostState {
  model: LoadedModel | null;
  loading: boolean;
  /** What came of the current step. */
  news: GenerationEvent[];
}

function loadedModel({ model, loading }: HostState): LoadedModel {
  if (model) return model;
  const reason = loading ? 'its model is being loaded' : 'no model is loaded';
  throw new CorralError('engine_unavailable', { params: { model: '', reason } });
}

/** Where guessed tokens came true a step brings several of one request: one event tells them all. */
function addNews(news: GenerationEvent[], event: GenerationEvent): void {
  const last = news.at(-1);
  if (!last || last.id !== event.id) {
    news.push(event);
    return;
  }
  const logprobs = [...(last.logprobs ?? []), ...(event.logprobs ?? [])];
  const toolCalls = [...(last.tool_calls ?? []), ...(event.tool_calls ?? [])];
  news[news.length - 1] = {
    ...last,
    ...event,
    text: last.text + event.text,
    tokens: [...last.tokens, ...event.tokens],
    ...(logprobs.length > 0 && { logprobs }),
    ...(toolCalls.length > 0 && { tool_calls: toolCalls }),
  };
}

/** Sends what came of a step, as one message. */
function flush(state: HostState, send: EngineHostOptions['send']): void {
  if (state.news.length === 0) return;
  const events = state.news;
  state.news = [];
  send({ type: 'tokens', events });
}

async function load(
  state: HostState,
  request: Extract<EngineRequest, { type: 'load' }>,
  { openLibrary, checkFile, send }: EngineHostOptions,
): Promise<void> {
  if (state.model || state.loading)
    throw new CorralError('conflict', { params: { reason: 'a model is already loaded' } });
  state.loading = true;
  try {
    state.model = await openLoadedModel({
      library: openLibrary(),
      checkFile,
      path: request.model_path,
      options: request.options,
      emit: (event) => addNews(state.news, event),
      finish: (id, value) => send({ type: 'result', id, value }),
      fail: (id, error) => send({ type: 'error', id, error: toErrorPayload(error) }),
    });
  } finally {
    state.loading = false;
  }
  send({ type: 'ready', id: request.id, model: state.model.info });
}

const schedulerStatus = ({ scheduler }: LoadedModel): Partial<EngineStatus> => ({
  prefix_cache: scheduler.stats.prefixCache,
  speculation: scheduler.stats.speculation,
  overhead_ms: scheduler.stats.overheadMs,
});

const statusOf = (model: LoadedModel | null): EngineStatus => ({
  ...(model && schedulerStatus(model)),
  active: model?.scheduler.active ?? 0,
  queued: model?.scheduler.queued ?? 0,
  adapters: model?.adapters.list() ?? [],
  ...model?.adapters.status(),
  memory_bytes: process.memoryUsage.rss(),
  tokens_generated: model?.requests.tokensGenerated ?? 0,
  steps: model?.scheduler.steps ?? 0,
});

function createHandlers(state: HostState, options: EngineHostOptions): Handlers {
  const { openLibrary, checkFile, send, stop } = options;
  const result = (id: string, value: unknown): void => send({ type: 'result', id, value });
  return {
    load: (request) => load(state, request, options),
    load_adapter: async ({ id, adapter_id, path }) => {
      await loadedModel(state).adapters.load(adapter_id, path);
      result(id, {});
    },
    unload_adapter: async ({ id, adapter_id }) => {
      await loadedModel(state).adapters.unload(adapter_id);
      result(id, {});
    },
    generate: (request) => {
      loadedModel(state).requests.generate(request);
      flush(state, send);
    },
    cancel: ({ id, target }) => {
      const cancelled = state.model?.cancel(target) ?? false;
      flush(state, send);
      state.model?.adapters.sweep();
      result(id, { cancelled });
    },
    render: ({ id, prompt }) => result(id, loadedModel(state).requests.render(prompt)),
    score: (request) => loadedModel(state).requests.score(request),
    embed: (request) => loadedModel(state).requests.embed(request),
    quantize: async ({ id, source, target, ftype }) => {
      const request = { source, target, type: ftype, threads: chooseThreads() };
      const onProgress = (done: number, total: number): void =>
        send({ type: 'progress', id, done, total });
      await encodeModel(request, { openLibrary, checkFile, onProgress });
      result(id, {});
    },
    status: ({ id }) => result(id, statusOf(state.model)),
    shutdown: ({ id }) => {
      const end = performance.now() + persistMs;
      while (performance.now() < end && state.model?.scheduler.persistOne());
      result(id, {});
      stop();
    },
  };
}

export function createEngineHost(options: EngineHostOptions): EngineHost {
  const { send } = options;
  const state: HostState = { model: null, loading: false, news: [] };
  const handlers = createHandlers(state, options);
  return {
    handle: async (message) => {
      try {
        const request = parseRequest(message);
        await (handlers[request.type] as (request: EngineRequest) => void | Promise<void>)(request);
      } catch (error) {
        send({ type: 'error', id: idOf(message), error: toErrorPayload(error) });
      }
    },
    get busy() {
      return state.model?.busy ?? false;
    },
    prepare: () => state.model !== null && !state.model.requests.prepare(aheadMs),
    step: () => {
      if (!state.model) return;
      state.model.step();
      flush(state, send);
      state.model.adapters.sweep();
    },
    idle: () => state.model?.idle() ?? false,
    close: () => {
      state.model?.close();
      state.model = null;
    },
  };
}
