// The engine of one base model on this machine: starts its child on demand, loads adapters when first
// asked for, starts it again after a crash, refuses what it has no room for. Which models exist and who
// may use them is not known here.
import { setTimeout as delay } from 'node:timers/promises';
import { CorralError } from '@corral/contracts';
import type {
  EmbedResult,
  EngineModelInfo,
  EngineOptions,
  EngineStatus,
  GenerationEvent,
  Prompt,
  RenderResult,
  ScoreResult,
} from '@corral/contracts';
import { AdapterSlots } from './adapter-slots.ts';
import { EngineChild } from './engine-child.ts';
import { isServing, nextEngineState } from './engine-states.ts';
import type { EngineState, EngineStateEvent } from './engine-states.ts';
import type {
  EmbedRequest,
  Engine,
  EngineReport,
  GenerateRequest,
  ScoreRequest,
} from './engine.ts';

export interface LocalEngineOptions {
  readonly base: string;
  readonly modelPath: string;
  readonly engineOptions: Partial<EngineOptions>;
  readonly workerUrl: URL;
  /** Generations that may wait beside those that run; more are refused as overloaded. */
  readonly maxWaiting: number;
  /** Adapters that a child holds; the longest unused make place for others. */
  readonly maxAdapters: number;
  readonly watchdogMs: number;
  readonly loadTimeoutMs: number;
  /** Crashes in a row before giving up until somebody asks again. */
  readonly maxCrashes: number;
  /** Pause before the first restart; doubles up to 30 s. */
  readonly restartMs: number;
  readonly onLog?: ((line: string) => void) | undefined;
}

interface Loaded {
  readonly child: EngineChild;
  readonly info: EngineModelInfo;
  readonly adapters: AdapterSlots;
}

const maxRestartMs = 30_000;
/** A child that lived this long is healthy: the next crash is the first again. */
const healthyMs = 60_000;
const reportTimeoutMs = 1_000;

export class LocalEngine implements Engine {
  readonly base: string;
  readonly #options: LocalEngineOptions;
  #state: EngineState = 'stopped';
  /** Shared by all who wait for the engine; null when stopped. */
  #loaded: Promise<Loaded> | null = null;
  #child: EngineChild | null = null;
  #crashes = 0;
  #outstanding = 0;
  readonly #closing = new AbortController();

  constructor(options: LocalEngineOptions) {
    this.base = options.base;
    this.#options = options;
  }

  async info(): Promise<EngineModelInfo> {
    return (await this.#ready()).info;
  }

  async *generate(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<GenerationEvent> {
    const room = (this.#options.engineOptions.n_seq_max ?? 1) + this.#options.maxWaiting;
    if (this.#outstanding >= room) {
      const reason = `${this.#outstanding} requests run or wait for "${this.base}"`;
      throw new CorralError('overloaded', { params: { reason } });
    }
    this.#outstanding++;
    let release: (() => void) | undefined;
    try {
      const loaded = await this.#ready();
      if (request.adapter) release = await loaded.adapters.take(request.adapter);
      if (signal?.aborted) return;
      yield* loaded.child.generate(
        {
          type: 'generate',
          tenant: request.tenant,
          adapter_id: request.adapter?.id ?? null,
          prompt: request.prompt,
          sampling: request.sampling ?? {},
          max_tokens: request.maxTokens,
          stop: [...(request.stop ?? [])],
          top_logprobs: request.topLogprobs ?? null,
          ignore_eos: request.ignoreEos ?? false,
          response_format: request.responseFormat ?? null,
          echo: request.echo ?? false,
          deadline_ms: request.deadlineMs ?? null,
          cache_prompt: request.cachePrompt ?? true,
        },
        signal,
      );
    } finally {
      release?.();
      this.#outstanding--;
    }
  }

  async score(request: ScoreRequest): Promise<ScoreResult> {
    const { child, adapters } = await this.#ready();
    const release = request.adapter ? await adapters.take(request.adapter) : undefined;
    try {
      const result = await child.request({
        type: 'score',
        adapter_id: request.adapter?.id ?? null,
        prompt: request.prompt,
        forced_tokens: [...request.forcedTokens],
        top_logprobs: request.topLogprobs,
        wanted: request.wanted.map((tokens) => [...tokens]),
      });
      return result as ScoreResult;
    } finally {
      release?.();
    }
  }

  async embed(request: EmbedRequest): Promise<EmbedResult> {
    const { child, adapters } = await this.#ready();
    const release = request.adapter ? await adapters.take(request.adapter) : undefined;
    try {
      const result = await child.request({
        type: 'embed',
        tenant: request.tenant,
        adapter_id: request.adapter?.id ?? null,
        prompts: [...request.prompts],
        pooling: request.pooling ?? 'model',
        normalize: request.normalize ?? true,
      });
      return result as EmbedResult;
    } finally {
      release?.();
    }
  }

  async render(prompt: Prompt): Promise<RenderResult> {
    const { child } = await this.#ready();
    return (await child.request({ type: 'render', prompt })) as RenderResult;
  }

  async report(): Promise<EngineReport> {
    const rest: EngineReport = {
      base: this.base,
      state: this.#state,
      pid: this.#child?.pid ?? null,
      active: 0,
      queued: this.#outstanding,
      adapters: 0,
      memory_bytes: 0,
    };
    if (!isServing(this.#state) || !this.#child) return rest;
    const answer = this.#child.request({ type: 'status' }).catch(() => null);
    const status = await Promise.race([
      answer as Promise<EngineStatus | null>,
      delay(reportTimeoutMs, null, { ref: false }),
    ]);
    if (status === null) return rest;
    const { active, queued, adapters, memory_bytes } = status;
    return { ...rest, active, queued, adapters: adapters.length, memory_bytes };
  }

  async close(): Promise<void> {
    if (!this.#closing.signal.aborted) {
      this.#closing.abort();
      this.#move('stopped');
    }
    await this.#child?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #move(event: EngineStateEvent): void {
    this.#state = nextEngineState(this.#state, event);
  }

  #ready(): Promise<Loaded> {
    if (this.#closing.signal.aborted) {
      throw new CorralError('closed', { params: { what: `engine ${this.base}` } });
    }
    if (this.#loaded === null) {
      this.#move('started');
      this.#loaded = this.#launchUntilLoaded(0);
    }
    return this.#loaded;
  }

  /** Tries until the model is loaded, the model is refused, or too many children have died. */
  async #launchUntilLoaded(firstPauseMs: number): Promise<Loaded> {
    try {
      for (let pauseMs = firstPauseMs; ; pauseMs = this.#restartPause()) {
        if (pauseMs > 0) await delay(pauseMs, undefined, { signal: this.#closing.signal });
        const outcome = await this.#launch();
        if ('child' in outcome) {
          this.#move('loaded');
          this.#watch(outcome);
          return outcome;
        }
        this.#crashes++;
        this.#closing.signal.throwIfAborted();
        if (!outcome.crashed || this.#crashes >= this.#options.maxCrashes) throw outcome.error;
        this.#move('crashed');
      }
    } catch (error) {
      this.#loaded = null;
      this.#crashes = 0;
      if (this.#closing.signal.aborted) throw this.#unavailable('the server is stopping');
      this.#move('gave_up');
      throw error;
    }
  }

  async #launch(): Promise<Loaded | { crashed: boolean; error: unknown }> {
    const { modelPath, engineOptions, loadTimeoutMs, watchdogMs, maxAdapters } = this.#options;
    const child = new EngineChild(this.#options);
    this.#child = child;
    const timer = setTimeout(
      () => child.kill(`the model was not loaded within ${loadTimeoutMs / 1000} s`),
      loadTimeoutMs,
    );
    try {
      const call = { type: 'load', model_path: modelPath, options: engineOptions } as const;
      const info = await child.load(call);
      child.watch(watchdogMs);
      return { child, info, adapters: slotsOf(child, maxAdapters) };
    } catch (error) {
      // An engine_failed that the child itself sent leaves it alive; a dead one has already exited.
      const died = await Promise.race([child.exited.then(() => true), delay(50, false)]);
      await child.close();
      return { crashed: died, error };
    } finally {
      clearTimeout(timer);
    }
  }

  /** After a crash the next child starts by itself, so that the next caller finds it warm. */
  #watch({ child }: Loaded): void {
    const since = performance.now();
    void child.exited.then((reason) => {
      if (this.#closing.signal.aborted) return;
      this.#options.onLog?.(`engine ${this.base}: ${reason}`);
      if (performance.now() - since > healthyMs) this.#crashes = 0;
      this.#crashes++;
      this.#move('crashed');
      if (this.#crashes >= this.#options.maxCrashes) {
        this.#crashes = 0;
        this.#loaded = null;
        this.#move('gave_up');
        return;
      }
      this.#loaded = this.#launchUntilLoaded(this.#restartPause());
      this.#loaded.catch(() => undefined); // Whoever asks next hears of it.
    });
  }

  #restartPause(): number {
    return Math.min(this.#options.restartMs * 2 ** (this.#crashes - 1), maxRestartMs);
  }

  #unavailable(reason: string): CorralError {
    return new CorralError('engine_unavailable', { params: { model: this.base, reason } });
  }
}

const slotsOf = (child: EngineChild, limit: number): AdapterSlots =>
  new AdapterSlots(
    {
      load: ({ id, path }) => child.request({ type: 'load_adapter', adapter_id: id, path }),
      unload: (id) => child.request({ type: 'unload_adapter', adapter_id: id }),
    },
    limit,
  );
