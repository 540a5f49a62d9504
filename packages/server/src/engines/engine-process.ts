// One base's child and the life around it: started when needed, shared, started again with growing pauses
// after a crash, killed when it hangs or takes too much memory, stopped to give its memory back and started
// anew. Knows no requests and no other bases.
import { setTimeout as delay } from 'node:timers/promises';
import { CorralError } from '@corral/contracts';
import type { EngineModelInfo, EngineOptions, EngineStatus } from '@corral/contracts';
import { formatBytes } from '../download/disk-space.ts';
import { AdapterSlots } from './adapter-slots.ts';
import { EngineChild } from './engine-child.ts';
import type { EngineChildOptions } from './engine-child.ts';
import { isServing, nextEngineState } from './engine-states.ts';
import type { EngineState, EngineStateEvent } from './engine-states.ts';
import { residentBytes } from './process-memory.ts';

export interface EngineProcessOptions extends EngineChildOptions {
  readonly base: string;
  readonly modelPath: string;
  /** Adapters that a child holds; the longest unused make place for others. */
  readonly maxAdapters: number;
  /** A child that is busy and silent for so long is killed. */
  readonly watchdogMs: number;
  readonly loadTimeoutMs: number;
  /** Crashes in a row before giving up until somebody asks again. */
  readonly maxCrashes: number;
  /** Pause before the first restart; doubles up to 30 s. */
  readonly restartMs: number;
  /** A child that holds more is killed. */
  readonly maxBytes: number;
  /** Pause between two looks at a child's memory. */
  readonly measureMs: number;
  /** Another `residentBytes`, for tests. */
  readonly measure?: ((pid: number) => Promise<number | null>) | undefined;
}

export interface Loaded {
  readonly child: EngineChild;
  readonly info: EngineModelInfo;
  readonly adapters: AdapterSlots;
}

export interface EngineProcessEvents {
  /** The child holds this much. */
  readonly onMemory: (bytes: number) => void;
  /** There is no child and none will be started until somebody asks. */
  readonly onGivenUp: () => void;
}

const maxRestartMs = 30_000;
/** A child that lived this long is healthy: the next crash is the first again. */
const healthyMs = 60_000;

export class EngineProcess {
  readonly #options: EngineProcessOptions;
  readonly #events: EngineProcessEvents;
  #state: EngineState = 'stopped';
  /** Shared by all who wait for the child; null when stopped. */
  #loaded: Promise<Loaded> | null = null;
  #child: EngineChild | null = null;
  #crashes = 0;
  /** From a start to the stop that ends it; its signal's reason says why. */
  #life = new AbortController();
  #closed = false;

  constructor(options: EngineProcessOptions, events: EngineProcessEvents) {
    this.#options = options;
    this.#events = events;
  }

  get state(): EngineState {
    return this.#state;
  }

  /** The child that serves now. */
  get serving(): EngineChild | null {
    return isServing(this.#state) ? this.#child : null;
  }

  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  /** What the child holds now; null when there is none or nobody can tell. */
  async residentBytes(): Promise<number | null> {
    const { measure = residentBytes } = this.#options;
    return this.pid === null ? null : measure(this.pid);
  }

  /** Starts the child if need be, with these options if it is not running. */
  ready(engineOptions: EngineOptions): Promise<Loaded> {
    if (this.#closed) {
      const what = `engine ${this.#options.base}`;
      return Promise.reject(new CorralError('closed', { params: { what } }));
    }
    if (this.#loaded === null) {
      this.#life = new AbortController();
      this.#move('started');
      const start = { engineOptions, pauseMs: 0, life: this.#life };
      this.#loaded = this.#launchUntilLoaded(start);
    }
    return this.#loaded;
  }

  /** Ends the child, whatever it does; `ready` starts another. Idempotent. */
  async stop(reason: string): Promise<void> {
    this.#life.abort(reason);
    this.#loaded = null;
    this.#crashes = 0;
    this.#move('stopped');
    await this.#child?.close();
  }

  /** As `stop`, for good. */
  close(): Promise<void> {
    this.#closed = true;
    return this.stop('the server is stopping');
  }

  #move(event: EngineStateEvent): void {
    this.#state = nextEngineState(this.#state, event);
  }

  /** Tries until the model is loaded, the model is refused, or too many children have died. */
  async #launchUntilLoaded(start: Start): Promise<Loaded> {
    const { engineOptions, life } = start;
    try {
      for (let { pauseMs } = start; ; pauseMs = this.#restartPause()) {
        if (pauseMs > 0) await delay(pauseMs, undefined, { signal: life.signal });
        const outcome = await this.#launch(engineOptions);
        life.signal.throwIfAborted();
        if ('child' in outcome) {
          this.#move('loaded');
          this.#watch(outcome, start);
          return outcome;
        }
        this.#crashes++;
        if (!outcome.crashed || this.#crashes >= this.#options.maxCrashes) throw outcome.error;
        this.#move('crashed');
      }
    } catch (error) {
      if (life.signal.aborted) throw this.#unavailable(String(life.signal.reason));
      this.#giveUp();
      throw error;
    }
  }

  async #launch(
    engineOptions: EngineOptions,
  ): Promise<Loaded | { crashed: boolean; error: unknown }> {
    const { modelPath, loadTimeoutMs, watchdogMs, maxAdapters } = this.#options;
    const child = new EngineChild(this.#options);
    this.#child = child;
    this.#measure(child);
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
  #watch({ child }: Loaded, { engineOptions, life }: Start): void {
    const since = performance.now();
    void child.exited.then((reason) => {
      if (life.signal.aborted) return;
      this.#options.onLog?.(`engine ${this.#options.base}: ${reason}`);
      if (performance.now() - since > healthyMs) this.#crashes = 0;
      this.#crashes++;
      this.#move('crashed');
      if (this.#crashes >= this.#options.maxCrashes) {
        this.#giveUp();
        return;
      }
      const again = { engineOptions, pauseMs: this.#restartPause(), life };
      this.#loaded = this.#launchUntilLoaded(again);
      this.#loaded.catch(() => undefined); // Whoever asks next hears of it.
    });
  }

  /** Looks at the child's memory until it has gone. */
  #measure(child: EngineChild): void {
    const { measureMs, maxBytes, measure } = this.#options;
    let isLooking = false;
    const look = async (): Promise<void> => {
      if (child.pid === null || isLooking) return;
      isLooking = true;
      const bytes = measure ? await measure(child.pid) : await this.#heldBy(child, child.pid);
      isLooking = false;
      if (bytes === null || child !== this.#child) return;
      this.#events.onMemory(bytes);
      if (bytes > maxBytes)
        child.kill(
          `it took ${formatBytes(bytes)} of memory; serving.child_memory_limit allows ${formatBytes(maxBytes)}`,
        );
    };
    const timer = setInterval(() => void look(), measureMs);
    timer.unref();
    void child.exited.then(() => clearInterval(timer));
  }

  /** What the kernel says; where it says nothing, what the child says of itself once it can. */
  async #heldBy(child: EngineChild, pid: number): Promise<number | null> {
    const bytes = await residentBytes(pid);
    if (bytes !== null || child !== this.serving) return bytes;
    const status = child.request({ type: 'status' }) as Promise<EngineStatus>;
    return status.then(
      ({ memory_bytes }) => memory_bytes,
      () => null,
    );
  }

  #giveUp(): void {
    this.#loaded = null;
    this.#crashes = 0;
    this.#move('gave_up');
    this.#events.onGivenUp();
  }

  #restartPause(): number {
    return Math.min(this.#options.restartMs * 2 ** (this.#crashes - 1), maxRestartMs);
  }

  #unavailable(reason: string): CorralError {
    return new CorralError('engine_unavailable', {
      params: { model: this.#options.base, reason },
    });
  }
}

interface Start {
  readonly engineOptions: EngineOptions;
  readonly pauseMs: number;
  readonly life: AbortController;
}

const slotsOf = (child: EngineChild, limit: number): AdapterSlots =>
  new AdapterSlots(
    {
      load: ({ id, path }) => child.request({ type: 'load_adapter', adapter_id: id, path }),
      unload: (id) => child.request({ type: 'unload_adapter', adapter_id: id }),
    },
    limit,
  );
