// The engine of one base model on this machine: enters serving memory before its child is used, loads
// adapters when first asked for, refuses what it has no room for. Which models exist and who may use them is
// not known here.
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
import { formatBytes } from '../download/disk-space.ts';
import type { EngineCall, EngineChild } from './engine-child.ts';
import { EngineProcess } from './engine-process.ts';
import type { EngineProcessOptions, Loaded } from './engine-process.ts';
import type {
  EmbedRequest,
  Engine,
  EngineAdapter,
  EngineReport,
  GenerateRequest,
  ScoreRequest,
} from './engine.ts';
import { readMemoryPlan } from './memory-estimate.ts';
import type { MemoryPlan } from './memory-estimate.ts';
import type { MemoryGuest, ServingMemory } from './serving-memory.ts';

export interface LocalEngineOptions extends EngineProcessOptions {
  readonly engineOptions: EngineOptions;
  /**
   * Generations of one tenant that may wait beside those that run; more are refused as overloaded. Counted
   * for each: one who floods the queue must not have others refused. All together the child bounds.
   */
  readonly maxWaiting: number;
  readonly memory: ServingMemory;
  readonly limitBytes: number;
}

const reportTimeoutMs = 1_000;

export class LocalEngine implements Engine {
  readonly base: string;
  readonly countsTokens = true;
  readonly #options: LocalEngineOptions;
  readonly #process: EngineProcess;
  readonly #guest: MemoryGuest;
  #plan: Promise<MemoryPlan> | null = null;
  /** What the child was found to need; null before it has answered anything. */
  #learnedBytes: number | null = null;
  #peakBytes = 0;
  /** This child has touched its weights: its memory says what it needs. */
  #hasServed = false;
  /** Of the last child that was loaded: another of the same file has the same. */
  #info: EngineModelInfo | null = null;
  /** Generations that run or wait, by tenant. */
  readonly #outstanding = new Map<string, number>();
  #closed = false;

  constructor(options: LocalEngineOptions) {
    this.base = options.base;
    this.#options = options;
    this.#guest = {
      base: options.base,
      leave: () => {
        this.#peakBytes = 0;
        this.#hasServed = false;
        return this.#process.stop('it was unloaded');
      },
    };
    this.#process = new EngineProcess(options, {
      onMemory: (bytes) => void this.#charge(bytes),
      onGivenUp: () => options.memory.giveUp(this.#guest),
    });
  }

  async info(): Promise<EngineModelInfo> {
    this.#refuseClosed();
    return this.#info ?? this.#use(({ info }) => Promise.resolve(info));
  }

  /** Loads the model if it is not. */
  warm(): Promise<void> {
    return this.#use(() => Promise.resolve());
  }

  async *generate(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<GenerationEvent> {
    const leaving = [this.#takePlace(request.tenant)];
    const leaveAll = (): void => {
      for (const leave of leaving.splice(0).toReversed()) leave();
    };
    try {
      const { loaded, leave } = await this.#enter(signal);
      leaving.push(leave);
      if (request.adapter) leaving.push(await loaded.adapters.take(request.adapter));
      if (signal?.aborted) return;
      // A reader who does not read must not keep others out of memory.
      const onEnd = (): void => {
        this.#hasServed = true;
        leaveAll();
      };
      yield* loaded.child.generate(toCall(request), { signal, onEnd });
    } catch (error) {
      if (!signal?.aborted) throw error;
    } finally {
      leaveAll();
    }
  }

  /** Returns what gives the place back. Throws `overloaded` where the tenant has too many. */
  #takePlace(tenant: string): () => void {
    const held = this.#outstanding;
    const count = held.get(tenant) ?? 0;
    if (count >= this.#options.engineOptions.n_seq_max + this.#options.maxWaiting) {
      const reason = `${count} requests of this project run or wait for "${this.base}"`;
      throw new CorralError('overloaded', { params: { reason } });
    }
    held.set(tenant, count + 1);
    return () => {
      const left = (held.get(tenant) ?? 1) - 1;
      if (left > 0) held.set(tenant, left);
      else held.delete(tenant);
    };
  }

  score(request: ScoreRequest): Promise<ScoreResult> {
    const call: EngineCall = {
      type: 'score',
      adapter_id: request.adapter?.id ?? null,
      prompt: request.prompt,
      forced_tokens: [...request.forcedTokens],
      top_logprobs: request.topLogprobs,
      wanted: request.wanted.map((tokens) => [...tokens]),
    };
    return this.#use(async ({ child }) => (await child.request(call)) as ScoreResult, request);
  }

  embed(request: EmbedRequest): Promise<EmbedResult> {
    const call: EngineCall = {
      type: 'embed',
      tenant: request.tenant,
      adapter_id: request.adapter?.id ?? null,
      prompts: [...request.prompts],
      pooling: request.pooling ?? 'model',
      normalize: request.normalize ?? true,
    };
    return this.#use(async ({ child }) => (await child.request(call)) as EmbedResult, request);
  }

  render(prompt: Prompt): Promise<RenderResult> {
    const call = { type: 'render', prompt } as const;
    return this.#use(async ({ child }) => (await child.request(call)) as RenderResult);
  }

  async report(): Promise<EngineReport> {
    const { memory, maxAdapters } = this.#options;
    const { reserved_bytes, leaving, waiting } = memory.place(this.#guest);
    const { state } = this.#process;
    const rest: EngineReport = {
      base: this.base,
      kind: 'local',
      state: leaving ? 'unloading' : state === 'stopped' && waiting > 0 ? 'waiting' : state,
      pid: this.#process.pid,
      active: 0,
      queued: [...this.#outstanding.values()].reduce((sum, count) => sum + count, 0),
      adapters: 0,
      memory_bytes: 0,
      pinned: memory.isPinned(this.base),
      reserved_bytes,
      max_adapters: maxAdapters,
    };
    const { serving } = this.#process;
    if (serving) return { ...rest, ...(await statusOf(serving)) };
    const memory_bytes = (await this.#process.residentBytes()) ?? 0;
    if (state !== 'starting') return { ...rest, memory_bytes };
    const done_bytes = Math.min(memory_bytes, reserved_bytes);
    return { ...rest, memory_bytes, loading: { done_bytes, total_bytes: reserved_bytes } };
  }

  async close(): Promise<void> {
    this.#closed = true;
    const ended = this.#process.close();
    await this.#options.memory.remove(this.#guest, this.#stopping());
    await ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Runs `work` on the loaded child, with the adapter if there is one. */
  async #use<T>(
    work: (loaded: Loaded) => Promise<T>,
    { adapter }: { adapter: EngineAdapter | null } = { adapter: null },
  ): Promise<T> {
    const { loaded, leave } = await this.#enter();
    try {
      const release = adapter ? await loaded.adapters.take(adapter) : undefined;
      try {
        return await work(loaded);
      } finally {
        release?.();
      }
    } finally {
      leave();
    }
  }

  /** A place in memory with the loaded child in it, until `leave` is called. */
  async #enter(signal?: AbortSignal): Promise<{ loaded: Loaded; leave: () => void }> {
    this.#refuseClosed();
    const plan = await this.#planned();
    if (this.#closed) throw this.#stopping();
    const bytes = this.#learnedBytes ?? plan.bytes;
    const leave = await this.#options.memory.enter(this.#guest, bytes, signal);
    try {
      const loaded = await this.#process.ready(plan.options);
      this.#info = loaded.info;
      return { loaded, leave };
    } catch (error) {
      leave();
      throw error;
    }
  }

  #planned(): Promise<MemoryPlan> {
    const { modelPath, engineOptions, limitBytes, onLog } = this.#options;
    this.#plan ??= readMemoryPlan(modelPath, engineOptions, limitBytes).then((plan) => {
      const { n_kv: tokens } = plan.options;
      if (tokens !== engineOptions.n_kv)
        onLog?.(
          `engine ${this.base}: sequences share a cache of ${tokens} tokens, to fit into ${formatBytes(limitBytes)}`,
        );
      return plan;
    });
    return this.#plan;
  }

  /**
   * Corrects what memory is charged. Before a prompt ran through it, a child has not yet touched all of its
   * weights; afterwards it is taken at its peak, with room for what its prefix cache may still take.
   */
  async #charge(bytes: number): Promise<void> {
    const plan = await this.#planned();
    this.#peakBytes = Math.max(this.#peakBytes, bytes);
    const peak = this.#peakBytes;
    const settled = Math.min(plan.bytes, peak + plan.growing);
    const before = this.#learnedBytes ?? plan.bytes;
    const charged = Math.max(peak, this.#hasServed ? settled : before);
    if (this.#hasServed) this.#learnedBytes = charged;
    this.#options.memory.resize(this.#guest, charged);
  }

  #stopping(): CorralError {
    const params = { model: this.base, reason: 'the server is stopping or the model was removed' };
    return new CorralError('engine_unavailable', { params });
  }

  #refuseClosed(): void {
    if (!this.#closed) return;
    throw new CorralError('closed', { params: { what: `engine ${this.base}` } });
  }
}

const toCall = (request: GenerateRequest) => ({
  type: 'generate' as const,
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
});

/** What the child says of itself; nothing when it is too busy to answer in time. */
async function statusOf(child: EngineChild): Promise<Partial<EngineReport>> {
  const answer = child.request({ type: 'status' }).catch(() => null);
  const status = await Promise.race([
    answer as Promise<EngineStatus | null>,
    delay(reportTimeoutMs, null, { ref: false }),
  ]);
  if (status === null) return {};
  const { active, queued, adapters, memory_bytes } = status;
  const { adapter_batching, adapter_batching_reason, adapter_memory } = status;
  const { prefix_cache, speculation, steps, tokens_generated } = status;
  return {
    active,
    queued,
    memory_bytes,
    adapters: adapters.length,
    loaded_adapters: adapters.map((adapter) => ({ ...adapter })),
    ...(adapter_batching && { adapter_batching }),
    ...(adapter_batching_reason && { adapter_batching_reason }),
    ...(adapter_memory && { adapter_memory }),
    steps,
    tokens_generated,
    ...(prefix_cache && { prefix_cache }),
    ...(speculation && { speculation }),
  };
}
