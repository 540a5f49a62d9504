// Embeddings beside generation: requests wait in a queue of their own and are computed piece by piece between
// the steps of the scheduler, in contexts made when first needed. A request keeps the context until the
// prompts it has begun are done, then the next has its turn. Which prompts are computed together is decided
// elsewhere (prompt-groups.ts). Knows neither IPC nor text.
import { CorralError, type EmbedResult, type EngineRequest } from '@corral/contracts';
import type { DecodeOutcome, NativeAdapter, NativeContext } from '../llama-cpp/native-types.ts';
import { nextGroup, nextPiece, type PromptGroup, type PromptLength } from './prompt-groups.ts';
import { createPool, encodeVector, normalise, type Pool, type Pooling } from './pooling.ts';

export type EmbedRequest = Extract<EngineRequest, { type: 'embed' }>;

/** `short`: many prompts side by side, each with a cache of its own. `long`: one prompt at a time. */
export type EmbeddingContext = 'short' | 'long';

export interface EmbedderOptions {
  /** Makes a context; throws CorralError `memory_too_small` when there is no room. */
  readonly openContext: (kind: EmbeddingContext) => NativeContext;
  /** Tokens of a sequence in the context for short prompts. */
  readonly shortTokens: number;
  /** Numbers of a row. */
  readonly width: number;
  /** What the model's file says; null: nothing. */
  readonly modelPooling: Pooling | null;
  /** Throws CorralError `not_found`. Asked before each piece: an adapter can be unloaded meanwhile. */
  readonly adapter: (id: string | null) => NativeAdapter | null;
  readonly finish: (id: string, result: EmbedResult) => void;
  readonly fail: (id: string, error: CorralError) => void;
}

/** Waiting requests beyond this are refused. */
const maxWaiting = 256;

/** Prompts whose tokens are being fed: sequence i is the i-th of them. */
interface Running extends PromptGroup {
  readonly context: NativeContext;
  readonly pools: readonly Pool[];
  fed: number;
}

interface Work {
  readonly request: EmbedRequest;
  readonly prompts: readonly (readonly number[])[];
  readonly pooling: Pooling;
  readonly vectors: string[];
  /** Prompts that have not begun, shortest first. */
  readonly waiting: PromptLength[];
  running: Running | null;
}

const reasons: Record<Exclude<DecodeOutcome, 'ok'>, string> = {
  'no-room': 'the cache of keys and values is full',
  invalid: 'llama.cpp refused the batch',
  failed: 'llama.cpp could not compute the batch',
};

const asCorralError = (error: unknown): CorralError =>
  CorralError.isInstance(error)
    ? error
    : new CorralError('engine_failed', { params: { reason: String(error) }, cause: error });

export class Embedder {
  readonly #options: EmbedderOptions;
  readonly #queue: Work[] = [];
  readonly #contexts = new Map<EmbeddingContext, NativeContext>();

  constructor(options: EmbedderOptions) {
    this.#options = options;
  }

  get pending(): number {
    return this.#queue.length;
  }

  /** `prompts`: token ids, none empty, none longer than the context. Throws CorralError. */
  submit(request: EmbedRequest, prompts: readonly (readonly number[])[]): void {
    if (this.#queue.length >= maxWaiting)
      throw new CorralError('overloaded', {
        params: { reason: `${this.#queue.length} requests for embeddings are waiting` },
      });
    this.#options.adapter(request.adapter_id);
    const waiting = prompts
      .map((tokens, prompt) => ({ prompt, tokens: tokens.length }))
      .toSorted((a, b) => a.tokens - b.tokens);
    for (const { tokens } of waiting) this.#contextFor(tokens);
    const { pooling } = request;
    this.#queue.push({
      request,
      prompts,
      pooling: pooling === 'model' ? (this.#options.modelPooling ?? 'mean') : pooling,
      vectors: [],
      waiting,
      running: null,
    });
  }

  /** False when there is no request of that id. */
  cancel(id: string): boolean {
    const work = this.#queue.find(({ request }) => request.id === id);
    if (work) this.#end(work, () => this.#options.fail(id, new CorralError('cancelled')));
    return work !== undefined;
  }

  /** Feeds about `maxTokens` tokens of the request whose turn it is. Does nothing when none waits. */
  step(maxTokens: number): void {
    const [work] = this.#queue;
    if (!work) return;
    const running = (work.running ??= this.#begin(work, maxTokens));
    const { context } = running;
    try {
      context.useAdapter(this.#options.adapter(work.request.adapter_id));
      this.#feed(work, running, Math.min(maxTokens, context.batch.capacity));
      if (running.fed === running.length) this.#collect(work, running);
    } catch (error) {
      this.#end(work, () => this.#options.fail(work.request.id, asCorralError(error)));
    } finally {
      // Nothing is active between two steps: an adapter may be freed then.
      context.useAdapter(null);
    }
    this.#turn(work);
  }

  /** Fails what waits. Idempotent. */
  close(): void {
    for (const work of [...this.#queue])
      this.#end(work, () => this.#options.fail(work.request.id, new CorralError('cancelled')));
    for (const context of this.#contexts.values()) context.close();
    this.#contexts.clear();
  }

  #contextFor(tokens: number): NativeContext {
    const kind = tokens <= this.#options.shortTokens ? 'short' : 'long';
    const context = this.#contexts.get(kind) ?? this.#options.openContext(kind);
    this.#contexts.set(kind, context);
    return context;
  }

  #begin({ waiting, pooling }: Work, maxTokens: number): Running {
    const context = this.#contextFor(waiting[0]?.tokens ?? 0);
    const tokens = Math.min(maxTokens, context.batch.capacity);
    const group = nextGroup(waiting, { sequences: context.sequences, tokens });
    waiting.splice(0, group.prompts.length);
    const pools = group.prompts.map(() => createPool(pooling, this.#options.width));
    return { ...group, context, pools, fed: 0 };
  }

  #feed(work: Work, running: Running, maxTokens: number): void {
    const { context, prompts, pools, fed } = running;
    const { batch } = context;
    const end = fed + nextPiece(running, fed, maxTokens);
    batch.clear();
    for (const [sequence, prompt] of prompts.entries()) {
      const tokens = work.prompts[prompt] ?? [];
      // Behind the end of a shorter prompt any token will do: nothing before it can see it.
      for (let position = fed; position < end; position++)
        batch.add(tokens[position] ?? (tokens[0] as number), position, sequence, true);
    }
    const outcome = context.decode();
    if (outcome !== 'ok')
      throw new CorralError('engine_failed', { params: { reason: reasons[outcome] } });
    for (const [sequence, prompt] of prompts.entries()) {
      const own = Math.min(end, work.prompts[prompt]?.length ?? 0) - fed;
      for (let i = 0; i < own; i++)
        pools[sequence]?.add(context.embedding(sequence * (end - fed) + i));
    }
    running.fed = end;
  }

  /** Vectors of the prompts that are fed. */
  #collect(work: Work, { prompts, pools }: Running): void {
    for (const [sequence, prompt] of prompts.entries()) {
      const vector = pools[sequence]?.result() ?? new Float32Array(0);
      if (!vector.every(Number.isFinite))
        throw new CorralError('engine_failed', {
          params: { reason: 'the model answered with numbers that are not finite' },
        });
      work.vectors[prompt] = encodeVector(work.request.normalize ? normalise(vector) : vector);
    }
    this.#stop(work);
  }

  /** Empties the sequences of what runs. */
  #stop(work: Work): void {
    const { context, prompts = [] } = work.running ?? {};
    for (const sequence of prompts.keys()) context?.truncate(sequence, 0);
    work.running = null;
  }

  /** Answers a request that is done; lets the next have its turn where none is in the middle of a prompt. */
  #turn(work: Work): void {
    if (this.#queue[0] !== work || work.running !== null) return;
    if (work.waiting.length > 0) {
      this.#queue.shift();
      this.#queue.push(work);
      return;
    }
    const prompt_tokens = work.prompts.map((tokens) => tokens.length);
    this.#end(work, () =>
      this.#options.finish(work.request.id, { embeddings: work.vectors, prompt_tokens }),
    );
  }

  #end(work: Work, tell: () => void): void {
    this.#stop(work);
    this.#queue.splice(this.#queue.indexOf(work), 1);
    tell();
  }
}
