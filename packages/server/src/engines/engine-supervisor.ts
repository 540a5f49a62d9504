// All engines of this server: one per base model, made when first asked for, ended together. Also runs
// the one-shot children that re-encode weights. Which model file belongs to which base is told by callers.
import { engineOptionsSchema } from '@corral/contracts';
import type { EngineOptions, ServingForm } from '@corral/contracts';
import { EngineChild } from './engine-child.ts';
import { LocalEngine } from './local-engine.ts';
import type { LocalEngineOptions } from './local-engine.ts';
import type { Engine, EngineReport } from './engine.ts';

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
  /** Those that were ever asked for. */
  report(): Promise<EngineReport[]>;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export type EngineSupervisorOptions = Partial<
  Omit<LocalEngineOptions, 'base' | 'modelPath' | 'engineOptions'>
> & { readonly engine?: Partial<EngineOptions> };

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
} as const;

export function createEngineSupervisor(options: EngineSupervisorOptions = {}): Engines {
  const { engine: engineSettings, ...rest } = options;
  const settings = {
    ...defaults,
    ...rest,
    workerUrl: rest.workerUrl ?? new URL(import.meta.resolve('@corral/engine/worker')),
  };
  const engines = new Map<string, { modelPath: string; engine: LocalEngine }>();
  const oneShots = new Set<EngineChild>();

  const engine = (base: EngineBase): Engine => {
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

  const close = async (): Promise<void> => {
    for (const child of oneShots) child.kill('the server is stopping');
    await Promise.all([...engines.values()].map((known) => known.engine.close()));
  };

  return {
    engine,
    unload,
    quantise,
    report: () => Promise.all([...engines.values()].map((known) => known.engine.report())),
    close,
    [Symbol.asyncDispose]: close,
  };
}
