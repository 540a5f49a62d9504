// Embeddings beside generation: requests wait in a queue of their own and are computed piece by piece between
// the steps of the scheduler, in a context made when the first comes. A request keeps the context until the
// prompts it has begun are done, then the next has its turn. Knows neither IPC nor text.
import { CorralError, type EmbedResult, type EngineRequest } from '@corral/contracts';
import type { DecodeOutcome, NativeAdapter, NativeContext } from '../llama-cpp/native-types.ts';
import { createPool, encodeVector, normalise, type Pool, type Pooling } from './pooling.ts';

export type EmbedRequest = Extract<EngineRequest, { type: 'embed' }>;

export interface EmbedderOptions {
  /** Makes the context; throws CorralError `memory_too_small` when there is no room. */
  readonly openContext: () => NativeContext;
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

/** A prompt whose tokens are being fed. */
interface Running {
  readonly prompt: number;
  readonly sequence: number;
  readonly pool: Pool;
  fed: number;
}

interface Work {
  readonly request: EmbedRequest;
  readonly prompts: readonly (readonly number[])[];
  readonly pooling: Pooling;
  readonly vectors: string[];
  /** The prompt to begin next. */
  next: number;
  running: Running[];
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
  #context: NativeContext | null = null;

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
    this.#context ??= this.#options.openContext();
    const { pooling } = request;
    this.#queue.push({
      request,
      prompts,
      pooling: pooling === 'model' ? (this.#options.modelPooling ?? 'mean') : pooling,
      vectors: [],
      next: 0,
      running: [],
    });
  }

  /** False when there is no request of that id. */
  cancel(id: string): boolean {
    const work = this.#queue.find(({ request }) => request.id === id);
    if (work) this.#end(work, () => this.#options.fail(id, new CorralError('cancelled')));
    return work !== undefined;
  }

  /** Feeds at most `maxTokens` tokens of the request whose turn it is. Does nothing when none waits. */
  step(maxTokens: number): void {
    const [work] = this.#queue;
    const context = this.#context;
    if (!work || !context) return;
    try {
      context.useAdapter(this.#options.adapter(work.request.adapter_id));
      this.#feed(work, context, Math.min(maxTokens, context.batch.capacity));
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
    this.#context?.close();
    this.#context = null;
  }

  #feed(work: Work, context: NativeContext, maxTokens: number): void {
    const { batch } = context;
    batch.clear();
    const rows: Running[] = [];
    while (batch.size < maxTokens) {
      const running = this.#unfed(work) ?? this.#begin(work, context);
      if (!running) break;
      const tokens = work.prompts[running.prompt] ?? [];
      const end = Math.min(tokens.length, running.fed + maxTokens - batch.size);
      for (; running.fed < end; running.fed++) {
        batch.add(tokens[running.fed] as number, running.fed, running.sequence, true);
        rows.push(running);
      }
    }
    const outcome = context.decode();
    if (outcome !== 'ok')
      throw new CorralError('engine_failed', { params: { reason: reasons[outcome] } });
    for (const [i, { pool }] of rows.entries()) pool.add(context.embedding(i));
    this.#collect(work, context);
  }

  #unfed(work: Work): Running | undefined {
    return work.running.find(({ prompt, fed }) => fed < (work.prompts[prompt]?.length ?? 0));
  }

  /** The next prompt on a free sequence; null when there is neither, or no room in the cache. */
  #begin(work: Work, context: NativeContext): Running | null {
    const tokens = work.prompts[work.next];
    const used = work.running.reduce(
      (sum, { prompt }) => sum + (work.prompts[prompt]?.length ?? 0),
      0,
    );
    const room = (context.sharedTokens ?? Infinity) - used;
    if (!tokens || work.running.length >= context.sequences || tokens.length > room) return null;
    const taken = new Set(work.running.map(({ sequence }) => sequence));
    let sequence = 0;
    while (taken.has(sequence)) sequence++;
    const pool = createPool(work.pooling, this.#options.width);
    const running = { prompt: work.next++, sequence, pool, fed: 0 };
    work.running.push(running);
    return running;
  }

  /** Vectors of the prompts that are fed. */
  #collect(work: Work, context: NativeContext): void {
    const isFed = ({ prompt, fed }: Running): boolean => fed === work.prompts[prompt]?.length;
    for (const { prompt, sequence, pool } of work.running.filter(isFed)) {
      const vector = pool.result();
      if (!vector.every(Number.isFinite))
        throw new CorralError('engine_failed', {
          params: { reason: 'the model answered with numbers that are not finite' },
        });
      work.vectors[prompt] = encodeVector(work.request.normalize ? normalise(vector) : vector);
      context.truncate(sequence, 0);
    }
    work.running = work.running.filter((running) => !isFed(running));
  }

  /** Answers a request that is done; lets the next have its turn where none is in the middle of a prompt. */
  #turn(work: Work): void {
    if (this.#queue[0] !== work || work.running.length > 0) return;
    if (work.next < work.prompts.length) {
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
    for (const { sequence } of work.running) this.#context?.truncate(sequence, 0);
    this.#queue.splice(this.#queue.indexOf(work), 1);
    tell();
  }
}
