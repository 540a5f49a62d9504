// An engine that runs elsewhere: any server that speaks OpenAI's contract, behind the same interface as the
// children of this machine. Sends again only what nobody has seen a token of; refuses by name what the
// server cannot do; knows at any time whether the server is there.
import { setTimeout as delay } from 'node:timers/promises';
import { createHash } from 'node:crypto';
import { CorralError } from '@corral/contracts';
import type {
  EmbedResult,
  EngineModelInfo,
  GenerationEvent,
  Prompt,
  RenderResult,
  ScoreResult,
} from '@corral/contracts';
import type {
  EmbedRequest,
  Engine,
  EngineReport,
  GenerateRequest,
  ScoreRequest,
} from '../engine.ts';
import { dialects } from './dialects.ts';
import type { RemoteEngineSettings } from './remote-settings.ts';
import { UpstreamAnswer } from './upstream-answer.ts';
import { createUpstreamClient } from './upstream-client.ts';
import type { UpstreamClient } from './upstream-client.ts';
import { embedUpstream } from './upstream-embeddings.ts';
import { socketFailure, UpstreamFailure } from './upstream-failure.ts';
import { toUpstreamRequest, unsupported } from './upstream-request.ts';
import type { UpstreamTarget } from './upstream-request.ts';
import { readModelInfo, renderers } from './upstream-tokens.ts';

export interface RemoteEngineOptions extends RemoteEngineSettings {
  /** Pause before the first repetition; doubles. */
  readonly retryMs?: number;
  readonly onLog?: ((line: string) => void) | undefined;
}

/** A server that asks for more patience than this is not waited for: its word goes to the caller. */
const maxRetryAfterSeconds = 2;
/** Bytes that surround a message in a template, at most, in tokens. */
const tokensAroundMessage = 32;

type Health = 'unknown' | 'ready' | 'unreachable';

export class RemoteEngine implements Engine {
  readonly base: string;
  readonly countsTokens: boolean;
  readonly #options: RemoteEngineOptions;
  readonly #target: UpstreamTarget;
  readonly #client: UpstreamClient;
  readonly #closing = new AbortController();
  readonly #prober: NodeJS.Timeout;
  #health: Health = 'unknown';
  #problem: string | null = null;
  #info: EngineModelInfo | null = null;
  #active = 0;

  constructor(options: RemoteEngineOptions) {
    const { id, type, model, shared_prefix_cache: sharedPrefixCache } = options;
    this.base = id;
    this.#options = options;
    this.#target = { id, model, dialect: dialects[type], sharedPrefixCache };
    this.countsTokens = this.#target.dialect.render !== null;
    this.#client = createUpstreamClient(options);
    this.#prober = setInterval(() => void this.probe(), options.health_seconds * 1000);
    this.#prober.unref();
  }

  async info(): Promise<EngineModelInfo> {
    this.#refuseClosed();
    this.#info ??= await this.#repeat(() => this.#ask());
    return this.#info;
  }

  async warm(): Promise<void> {
    await this.info();
  }

  /** Asks whether the server is there and has the model. Never rejects. */
  async probe(): Promise<void> {
    await this.#ask()
      .then((info) => (this.#info = info))
      .catch(() => undefined);
  }

  async *generate(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<GenerationEvent> {
    this.#refuseClosed();
    const { max_requests: limit } = this.#options;
    if (this.#active >= limit) {
      const reason = `${limit} requests run on the server of "${this.base}"`;
      throw new CorralError('overloaded', { params: { reason } });
    }
    this.#active++;
    try {
      await this.#refuseOversized(request);
      yield* this.#generate(request, signal);
    } catch (error) {
      if (!signal?.aborted) throw this.#explain(error);
    } finally {
      this.#active--;
    }
  }

  score(_request: ScoreRequest): Promise<ScoreResult> {
    return Promise.reject(unsupported(this.base, 'score'));
  }

  async embed(request: EmbedRequest): Promise<EmbedResult> {
    this.#refuseClosed();
    const { base } = this;
    if (request.adapter) throw unsupported(base, 'adapter');
    if ((request.pooling ?? 'model') !== 'model') throw unsupported(base, 'pooling');
    const { dialect } = this.#target;
    const unfit = request.prompts.some(
      ({ kind }) => kind === 'messages' || (kind === 'tokens' && !dialect.tokenPrompts),
    );
    if (unfit) throw unsupported(base, 'input');
    return this.#repeat(() => embedUpstream(this.#client, this.#target.model, request));
  }

  async render(prompt: Prompt): Promise<RenderResult> {
    this.#refuseClosed();
    const { render } = this.#target.dialect;
    if (render === null) throw unsupported(this.base, 'render');
    return this.#repeat(() => renderers[render](this.#client, this.#target, prompt));
  }

  report(): Promise<EngineReport> {
    const { base_url: url, model, apiKey } = this.#options;
    const state = this.#health === 'unknown' ? 'stopped' : this.#health;
    return Promise.resolve({
      base: this.base,
      kind: 'remote',
      state: this.#closing.signal.aborted ? 'stopped' : state,
      pid: null,
      active: this.#active,
      queued: 0,
      adapters: 0,
      memory_bytes: 0,
      upstream: { url, model, key: apiKey === null ? null : fingerprintOf(apiKey) },
      problem: this.#problem,
    });
  }

  async close(): Promise<void> {
    clearInterval(this.#prober);
    const params = { model: this.base, reason: 'the server is stopping' };
    this.#closing.abort(new CorralError('engine_unavailable', { params }));
    await this.#client.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #ask(): Promise<EngineModelInfo> {
    const { model, context_length: contextLength = null } = this.#options;
    try {
      const info = await readModelInfo(this.#client, { model, contextLength });
      this.#learn(null);
      return info;
    } catch (error) {
      this.#learn(socketFailure(error));
      throw error;
    }
  }

  /** Events of one answer; the request is sent again while nothing of it was seen. */
  async *#generate(
    request: GenerateRequest,
    signal?: AbortSignal,
  ): AsyncGenerator<GenerationEvent> {
    const call = toUpstreamRequest(request, this.#target);
    const { deadlineMs = null, topLogprobs = null } = request;
    const deadline = deadlineMs === null ? null : AbortSignal.timeout(deadlineMs);
    const ends = [this.#closing.signal, signal, deadline].filter(
      (one) => one instanceof AbortSignal,
    );
    const stop = AbortSignal.any(ends);
    let [begun, answer] = [false, new UpstreamAnswer({ id: '', kind: call.kind, topLogprobs })];
    const once = async function* (client: UpstreamClient): AsyncGenerator<GenerationEvent> {
      answer = new UpstreamAnswer({ id: '', kind: call.kind, topLogprobs });
      const { path, body } = call;
      for await (const data of client.events({ path, body, signal: stop }, () => begun)) {
        const event = answer.read(data);
        if (event) {
          begun = true;
          yield event;
        }
        if (answer.ended) return;
      }
    };
    for (let failures = 0; ; failures++) {
      try {
        yield* once(this.#client);
        const reason = answer.finishReason();
        this.#learn(null);
        yield await this.#finish(request, answer, reason);
        return;
      } catch (error) {
        if (deadline?.aborted && !signal?.aborted && !this.#closing.signal.aborted) {
          yield await this.#finish(request, answer, 'deadline');
          return;
        }
        if (begun || stop.aborted) throw error;
        await this.#pause(error, failures, stop);
      }
    }
  }

  async #finish(
    { prompt }: GenerateRequest,
    { usage }: UpstreamAnswer,
    reason: NonNullable<GenerationEvent['finish']>['reason'],
  ): Promise<GenerationEvent> {
    // A server that tells no usage is asked for the prompt's, where that is possible.
    const counted =
      usage.prompt === null && this.countsTokens
        ? await this.render(prompt).then(
            ({ tokens }) => tokens.length,
            () => null,
          )
        : usage.prompt;
    const finish = {
      reason,
      prompt_tokens: counted ?? 0,
      completion_tokens: usage.completion,
      cached_tokens: usage.cached,
    };
    return { id: '', text: '', tokens: [], finish };
  }

  /** Servers cut at the end of their context without a word; counted only where it may come to that. */
  async #refuseOversized({ prompt, maxTokens }: GenerateRequest): Promise<void> {
    if (!Number.isFinite(maxTokens)) return;
    const { n_ctx } = await this.info();
    const refuse = (prompt_tokens: number): never => {
      const params = { prompt_tokens, max_tokens: maxTokens, n_ctx };
      const param = prompt.kind === 'messages' ? 'messages' : 'prompt';
      throw new CorralError('context_length_exceeded', { params, param });
    };
    if (!this.countsTokens) {
      // At least one token is there before the answer.
      if (maxTokens >= n_ctx) refuse(1);
      return;
    }
    if (mostTokens(prompt) + maxTokens <= n_ctx) return;
    const { tokens } = await this.render(prompt);
    if (tokens.length + maxTokens > n_ctx) refuse(tokens.length);
  }

  /** Short calls whose answer is one JSON. */
  async #repeat<T>(work: () => Promise<T>): Promise<T> {
    for (let failures = 0; ; failures++) {
      try {
        return await work();
      } catch (error) {
        try {
          await this.#pause(error, failures, this.#closing.signal);
        } catch (last) {
          throw this.#explain(last);
        }
      }
    }
  }

  /** Returns when it is time to try again; throws what there is no use in repeating. */
  async #pause(error: unknown, failures: number, stop: AbortSignal): Promise<void> {
    const { retries, retryMs = 250 } = this.#options;
    if (!(error instanceof UpstreamFailure)) throw error;
    this.#learn(error);
    const seconds = error.retryAfterSeconds;
    const tooLong = seconds !== null && seconds > maxRetryAfterSeconds;
    if (!error.transient || tooLong || failures >= retries) throw error;
    // Half of it by chance, so that many who failed together do not come back together.
    const pauseMs = retryMs * 2 ** failures * (0.5 + Math.random() / 2);
    await delay(Math.max(pauseMs, (seconds ?? 0) * 1000), undefined, { signal: stop });
  }

  /** What a call said of the server's health. */
  #learn(failure: UpstreamFailure | null): void {
    if (this.#closing.signal.aborted) return;
    const health: Health = failure?.unreachable ? 'unreachable' : 'ready';
    const problem = failure === null ? null : failure.message;
    if (health !== this.#health || problem !== this.#problem)
      this.#options.onLog?.(`engine ${this.base}: ${health}${problem ? `: ${problem}` : ''}`);
    this.#health = health;
    this.#problem = problem;
  }

  #explain(error: unknown): unknown {
    if (this.#closing.signal.aborted) return this.#closing.signal.reason;
    if (!(error instanceof UpstreamFailure)) return error;
    this.#learn(error);
    return error.toCorralError(this.base);
  }

  #refuseClosed(): void {
    if (!this.#closing.signal.aborted) return;
    throw new CorralError('closed', { params: { what: `engine ${this.base}` } });
  }
}

/** Enough to tell two keys apart. */
const fingerprintOf = (key: string): string =>
  `sha256:${createHash('sha256').update(key).digest('hex').slice(0, 8)}`;

/** More tokens than this a prompt cannot have: one a byte, and the template's. */
function mostTokens(prompt: Prompt): number {
  switch (prompt.kind) {
    case 'tokens':
      return prompt.tokens.length;
    case 'text':
      return Buffer.byteLength(prompt.text) + 1;
    case 'messages': {
      // Tools and templates write what only the server knows.
      if (prompt.tools?.length || prompt.chat_template !== undefined) return Infinity;
      const words = prompt.messages.map(
        ({ content, name = '', tool_calls: calls = [] }) =>
          content + name + calls.map((call) => call.name + call.arguments).join(''),
      );
      // A template may add a system message of its own.
      const around = (prompt.messages.length + 4) * tokensAroundMessage;
      return Buffer.byteLength(words.join('')) + around;
    }
    default:
      return prompt satisfies never;
  }
}
