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
import { openLoadedModel, type LoadedModel } from './loaded-model.ts';
import type { NativeLibrary } from './llama-cpp/native-types.ts';
import type { CheckModelFile } from './model-file.ts';
import { chooseThreads } from './threads.ts';

export interface EngineHost {
  /** Handles one message of any shape; every failure is answered, none is thrown. */
  handle(message: unknown): Promise<void>;
  /** True while requests wait or run. */
  readonly busy: boolean;
  /** One decode, and the message of what came of it. */
  step(): void;
  /** Frees native memory. Idempotent. */
  close(): void;
}

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

export function createEngineHost(options: EngineHostOptions): EngineHost {
  const { openLibrary, checkFile, send, stop } = options;
  let model: LoadedModel | null = null;
  let loading = false;
  let news: GenerationEvent[] = [];

  const result = (id: string, value: unknown): void => send({ type: 'result', id, value });
  const fail = (id: string, error: unknown): void =>
    send({ type: 'error', id, error: toErrorPayload(error) });
  const loaded = (): LoadedModel => {
    if (model) return model;
    const reason = loading ? 'its model is being loaded' : 'no model is loaded';
    throw new CorralError('engine_unavailable', { params: { model: '', reason } });
  };

  function flush(): void {
    if (news.length === 0) return;
    const events = news;
    news = [];
    send({ type: 'tokens', events });
  }

  async function load(request: Extract<EngineRequest, { type: 'load' }>): Promise<void> {
    if (model || loading)
      throw new CorralError('conflict', { params: { reason: 'a model is already loaded' } });
    loading = true;
    try {
      model = await openLoadedModel({
        library: openLibrary(),
        checkFile,
        path: request.model_path,
        options: request.options,
        emit: (event) => news.push(event),
        finishScore: result,
        fail,
      });
    } finally {
      loading = false;
    }
    send({ type: 'ready', id: request.id, model: model.info });
  }

  function status(): EngineStatus {
    return {
      active: model?.scheduler.active ?? 0,
      queued: model?.scheduler.queued ?? 0,
      adapters: model?.adapters.list() ?? [],
      memory_bytes: process.memoryUsage.rss(),
      tokens_generated: model?.tokensGenerated ?? 0,
      steps: model?.scheduler.steps ?? 0,
    };
  }

  const handlers: Handlers = {
    load,
    load_adapter: async ({ id, adapter_id, path }) => {
      await loaded().adapters.load(adapter_id, path);
      result(id, {});
    },
    unload_adapter: async ({ id, adapter_id }) => {
      await loaded().adapters.unload(adapter_id);
      result(id, {});
    },
    generate: (request) => {
      loaded().generate(request);
      flush();
    },
    cancel: ({ id, target }) => {
      const cancelled = model?.scheduler.cancel(target) ?? false;
      flush();
      model?.adapters.sweep();
      result(id, { cancelled });
    },
    render: ({ id, prompt }) => result(id, loaded().render(prompt)),
    score: (request) => loaded().score(request),
    quantize: async ({ id, source, target, ftype }) => {
      await checkFile(source, 'model');
      const threads = chooseThreads();
      await openLibrary().quantize({ source, target, type: ftype, threads });
      result(id, {});
    },
    status: ({ id }) => result(id, status()),
    shutdown: ({ id }) => {
      result(id, {});
      stop();
    },
  };

  return {
    handle: async (message) => {
      try {
        const request = parseRequest(message);
        await (handlers[request.type] as (request: EngineRequest) => void | Promise<void>)(request);
      } catch (error) {
        fail(idOf(message), error);
      }
    },
    get busy() {
      return model !== null && model.scheduler.active + model.scheduler.queued > 0;
    },
    step: () => {
      if (!model) return;
      model.scheduler.step();
      flush();
      model.adapters.sweep();
    },
    close: () => {
      model?.close();
      model = null;
    },
  };
}
