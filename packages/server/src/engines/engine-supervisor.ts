// All engines of this server: one per base model, made when first asked for, sharing one budget of memory,
// ended together. Also runs the one-shot children that re-encode weights. Which model file belongs to which base is told by callers.
import { CorralError, engineOptionsSchema } from '@corral/contracts';
import type { EngineOptions, ServingForm } from '@corral/contracts';
import { EngineChild } from './engine-child.ts';
import { LocalEngine } from './local-engine.ts';
import type { LocalEngineOptions } from './local-engine.ts';
import type { Engine, EngineReport } from './engine.ts';
import { ServingMemory } from './serving-memory.ts';
import type { MemoryReport, ServingMemoryOptions } from './serving-memory.ts';

/** What an engine is made for. */
interface EngineBase {
  /** The base model's id. */
  readonly id: string;
  readonly modelPath: string;
  /** Over the server's settings, for example a shorter context than the model was trained for. */
  readonly options?: Partial<EngineOptions>;
}

interface QuantiseRequest {
  /** A GGUF, or a Hugging Face folder. */
  readonly source: string;
  readonly target: string;
  readonly ftype: ServingForm;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

export interface Engines {
  /** The engine of a base; starting is left to its first use. */
  engine(base: EngineBase): Engine;
  /** Ends a base's engine, for example because its model is removed. */
  unload(baseId: string): Promise<void>;
  /** Writes a GGUF in another form in a child of its own. Errors: engine_failed, model_file_invalid. */
  quantise(request: QuantiseRequest): Promise<void>;
  /** Keeps these bases in memory, and no others that were pinned before; loads what is not in. */
  pin(bases: readonly EngineBase[]): void;
  /** Those that were ever asked for. */
  report(): Promise<EngineReport[]>;
  memory(): MemoryReport;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export type EngineSupervisorOptions = Partial<
  Omit<LocalEngineOptions, 'base' | 'modelPath' | 'engineOptions' | 'memory' | 'limitBytes'>
> & {
  readonly engine?: Partial<EngineOptions>;
  readonly memory?: Partial<ServingMemoryOptions>;
};

const defaults = {
  maxWaiting: 64,
  // Rank 16 on 8 billion parameters takes about 80 MB, so all of them about 5 GB; reading one again
  // takes well under a second.
  maxAdapters: 64,
  // The child answers between decode steps; prefilling 512 tokens of a large model on a slow machine
  // takes tens of seconds, so less would kill honest work.
  watchdogMs: 120_000,
  loadTimeoutMs: 600_000,
  maxCrashes: 5,
  restartMs: 250,
  // A child grows by at most what a few steps allocate between two looks.
  measureMs: 1_000,
} as const;

const memoryDefaults: ServingMemoryOptions = {
  limitBytes: Number.POSITIVE_INFINITY,
  waitMs: 60_000,
  // Long enough for an answer of ordinary length to end by itself.
  patienceMs: 5_000,
  lingerMs: 250,
  idleMs: 0,
};

export function createEngineSupervisor(options: EngineSupervisorOptions = {}): Engines {
  const { engine: engineSettings, memory: memorySettings, ...rest } = options;
  const memory = new ServingMemory({ ...memoryDefaults, ...memorySettings });
  const { limit_bytes: limitBytes } = memory.report();
  const settings = {
    ...defaults,
    maxBytes: limitBytes,
    ...rest,
    memory,
    limitBytes,
    workerUrl: rest.workerUrl ?? new URL(import.meta.resolve('@corral/engine/worker')),
  };
  const engines = new Map<string, { modelPath: string; engine: LocalEngine }>();
  const oneShots = new Set<EngineChild>();

  const engine = (base: EngineBase): LocalEngine => {
    const known = engines.get(base.id);
    if (known?.modelPath === base.modelPath) return known.engine;
    void known?.engine.close();
    const engineOptions = engineOptionsSchema.parse({ ...engineSettings, ...base.options });
    const { id, modelPath } = base;
    const made = new LocalEngine({ ...settings, base: id, modelPath, engineOptions });
    engines.set(id, { modelPath, engine: made });
    return made;
  };

  const unload = async (baseId: string): Promise<void> => {
    const known = engines.get(baseId);
    engines.delete(baseId);
    await known?.engine.close();
  };

  const quantise = async ({ signal, onProgress, ...request }: QuantiseRequest): Promise<void> => {
    const { workerUrl, onLog } = settings;
    // Synchronous native work of minutes for large models: never watched, only the caller's signal.
    const child = new EngineChild({ workerUrl, onLog });
    const abort = (): void => child.kill('it was cancelled');
    oneShots.add(child);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      await child.request({ type: 'quantize', ...request }, onProgress);
    } finally {
      signal?.removeEventListener('abort', abort);
      await child.close();
      oneShots.delete(child);
    }
  };

  const pin = (bases: readonly EngineBase[]): void => {
    memory.pin(new Set(bases.map(({ id }) => id)));
    for (const base of bases) {
      void engine(base)
        .warm()
        .catch((error: unknown) => settings.onLog?.(`engine ${base.id}: ${String(error)}`));
    }
  };

  const close = async (): Promise<void> => {
    const params = { model: '', reason: 'the server is stopping' };
    memory.close(new CorralError('engine_unavailable', { params }));
    for (const child of oneShots) child.kill('the server is stopping');
    await Promise.all([...engines.values()].map((known) => known.engine.close()));
  };

  return {
    engine,
    unload,
    quantise,
    pin,
    memory: () => memory.report(),
    report: () => Promise.all([...engines.values()].map((known) => known.engine.report())),
    close,
    [Symbol.asyncDispose]: close,
  };
}
