// One engine process: requests and streams multiplexed over its IPC channel by id, a watchdog that
// kills it when it stops answering, and a clean or a hard end. Does not restart anything.
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { CorralError, fromErrorPayload } from '@corral/contracts';
import type {
  EngineMessage,
  EngineModelInfo,
  EngineRequestInput,
  GenerationEvent,
} from '@corral/contracts';
import { childEnvironment } from '../child-environment.ts';
import { EventQueue } from './event-queue.ts';

export interface EngineChildOptions {
  readonly workerUrl: URL;
  /** Where Node keeps compiled code between starts; without it each child compiles anew. */
  readonly codeCache?: string | undefined;
  /** Lines of the child's stderr. */
  readonly onLog?: ((line: string) => void) | undefined;
}

/** A request without its id, which the child object gives. */
type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;
export type EngineCall = WithoutId<EngineRequestInput>;

type OnProgress = (done: number, total: number) => void;

interface Pending {
  readonly onProgress: OnProgress | undefined;
  resolve(value: unknown): void;
  reject(error: Error): void;
}

interface Stream {
  readonly queue: EventQueue<GenerationEvent>;
  readonly onEnd: (() => void) | undefined;
}

/** A child that was told to go gets this long before it is killed. */
const shutdownGraceMs = 2_000;
/** Kept to say why a process died. */
const rememberedLogLines = 5;

/**
 * A child's JavaScript makes little garbage beside its model: with V8's usual 16 MiB it would touch 48 MiB
 * for new objects before it first looked what is still needed.
 */
const nodeOptions = ['--max-semi-space-size=1'];

/** glibc gives each thread an arena of its own and leaves in it what was freed; the threads of ggml allocate nothing. */
const allocatorEnvironment = { MALLOC_ARENA_MAX: '1' };

const environmentOf = ({ codeCache }: EngineChildOptions): NodeJS.ProcessEnv =>
  childEnvironment({
    ...allocatorEnvironment,
    ...(codeCache !== undefined && { NODE_COMPILE_CACHE: codeCache }),
  });

const engineFailed = (reason: string): CorralError =>
  new CorralError('engine_failed', { params: { reason } });

export class EngineChild {
  /** Resolves with the reason when the process has gone. Never rejects. */
  readonly exited: Promise<string>;
  readonly #process: ChildProcess;
  readonly #pending = new Map<string, Pending>();
  readonly #streams = new Map<string, Stream>();
  #watchdog: NodeJS.Timeout | null = null;
  readonly #lastLines: string[] = [];
  #nextId = 0;
  #lastHeard = performance.now();
  #killReason: string | null = null;
  #gone: CorralError | null = null;

  constructor(options: EngineChildOptions) {
    const { workerUrl, onLog } = options;
    this.#process = fork(fileURLToPath(workerUrl), [], {
      execPath: process.execPath,
      execArgv: nodeOptions,
      serialization: 'json',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: environmentOf(options),
    });
    this.#process.on('message', (message) => this.#receive(message as EngineMessage));
    this.exited = new Promise((resolve) => {
      const end = (reason: string): void => {
        this.#end(reason);
        resolve(reason);
      };
      this.#process.once('exit', (code, signal) => end(this.#exitReason(code, signal)));
      // Not once: a kill and a send can each fail, and a second error without a listener ends the server.
      this.#process.on('error', (error) => end(error.message));
    });
    if (this.#process.stderr) {
      createInterface({ input: this.#process.stderr }).on('line', (line) => {
        this.#lastLines.push(line);
        if (this.#lastLines.length > rememberedLogLines) this.#lastLines.shift();
        onLog?.(line);
      });
    }
  }

  /** Null once it has gone. */
  get pid(): number | null {
    return this.#gone === null ? (this.#process.pid ?? null) : null;
  }

  /** `load`: the model's facts, or the child's error. */
  load(call: Extract<EngineCall, { type: 'load' }>): Promise<EngineModelInfo> {
    return this.request(call) as Promise<EngineModelInfo>;
  }

  /** Sends one call and waits for its `result`, `ready` or `error`. */
  request(call: EngineCall, onProgress?: OnProgress): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#gone) {
        reject(this.#gone);
        return;
      }
      const id = this.#newId();
      this.#pending.set(id, { onProgress, resolve, reject });
      this.#send({ ...call, id });
    });
  }

  /**
   * Leaving the loop early, or an abort, cancels the generation in the child. `onEnd` is called when the
   * child has finished, which may be long before a slow reader has read all of it.
   */
  async *generate(
    call: Extract<EngineCall, { type: 'generate' }>,
    { signal, onEnd }: { signal?: AbortSignal | undefined; onEnd?: () => void } = {},
  ): AsyncGenerator<GenerationEvent> {
    if (this.#gone) throw this.#gone;
    const id = this.#newId();
    const queue = new EventQueue<GenerationEvent>();
    const stop = (): void => queue.end();
    let finished = false;
    this.#streams.set(id, { queue, onEnd });
    signal?.addEventListener('abort', stop, { once: true });
    try {
      this.#send({ ...call, id });
      if (signal?.aborted) return;
      for await (const event of queue) {
        finished = event.finish !== undefined;
        yield event;
      }
    } catch (error) {
      finished = true;
      throw error;
    } finally {
      signal?.removeEventListener('abort', stop);
      this.#streams.delete(id);
      if (!finished) this.#send({ type: 'cancel', id: this.#newId(), target: id });
    }
  }

  /**
   * From now on the child must say something while work is pending: it is probed after half of
   * `watchdogMs` of silence and killed after the whole. Not for loading, which may take minutes.
   */
  watch(watchdogMs: number): void {
    const everyMs = watchdogMs / 4;
    let idle = true;
    let lookedAt = performance.now();
    this.#stopWatchdog();
    this.#watchdog = setInterval(() => {
      // While this process did not run (a machine that slept, a debugger) nobody could be heard.
      const now = performance.now();
      this.#lastHeard = Math.min(now, this.#lastHeard + Math.max(0, now - lookedAt - everyMs));
      lookedAt = now;
      const busy = this.#pending.size + this.#streams.size > 0;
      if (busy && idle) this.#lastHeard = now;
      idle = !busy;
      const silentMs = now - this.#lastHeard;
      if (!busy || silentMs < watchdogMs / 2) return;
      if (silentMs >= watchdogMs) {
        this.kill(`it did not answer for ${(silentMs / 1000).toFixed(1)} s`);
      } else {
        this.#send({ type: 'status', id: this.#newId() });
      }
    }, everyMs);
    this.#watchdog.unref();
  }

  /** Ends the process now; what was pending fails with `reason`. */
  kill(reason: string): void {
    this.#killReason ??= reason;
    this.#process.kill('SIGKILL');
  }

  /** Asks the process to end, kills it after a moment. Idempotent. */
  async close(): Promise<void> {
    if (!this.#gone) {
      this.#killReason ??= 'it was stopped';
      this.#send({ type: 'shutdown', id: this.#newId() });
      const timer = setTimeout(() => this.#process.kill('SIGKILL'), shutdownGraceMs);
      await this.exited;
      clearTimeout(timer);
    }
    await this.exited;
  }

  #newId(): string {
    return String(this.#nextId++);
  }

  #send(message: EngineRequestInput): void {
    // A write to a dead child's pipe fails here; its exit event, which follows, tells the callers.
    if (this.#process.connected) this.#process.send(message, () => undefined);
  }

  #receive(message: EngineMessage): void {
    this.#lastHeard = performance.now();
    switch (message.type) {
      case 'tokens':
        for (const event of message.events) this.#deliver(event);
        return;
      case 'ready':
        this.#settle(message.id)?.resolve(message.model);
        return;
      case 'progress':
        this.#pending.get(message.id)?.onProgress?.(message.done, message.total);
        return;
      case 'result':
        this.#settle(message.id)?.resolve(message.value);
        return;
      case 'error': {
        const error = fromErrorPayload(message.error);
        this.#settle(message.id)?.reject(error);
        this.#streams.get(message.id)?.queue.fail(error);
        if (message.fatal) this.kill(error.message);
        return;
      }
      default:
        message satisfies never;
    }
  }

  #deliver(event: GenerationEvent): void {
    const stream = this.#streams.get(event.id);
    if (!stream) return;
    stream.queue.push(event);
    if (!event.finish) return;
    stream.queue.end();
    stream.onEnd?.();
  }

  #settle(id: string): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }

  #exitReason(code: number | null, signal: NodeJS.Signals | null): string {
    if (this.#killReason !== null) return this.#killReason;
    const how = signal ?? `exit code ${code ?? 'unknown'}`;
    const lines = this.#lastLines.join(' | ');
    return `its process ended unexpectedly (${how})${lines ? `: ${lines}` : ''}`;
  }

  #end(reason: string): void {
    if (this.#gone) return;
    this.#gone = engineFailed(reason);
    this.#stopWatchdog();
    for (const pending of this.#pending.values()) pending.reject(this.#gone);
    for (const { queue } of this.#streams.values()) queue.fail(this.#gone);
    this.#pending.clear();
    this.#streams.clear();
  }

  #stopWatchdog(): void {
    if (this.#watchdog) clearInterval(this.#watchdog);
    this.#watchdog = null;
  }
}
