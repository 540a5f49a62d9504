// All engines of this server: one per base model, made when first asked for, sharing one budget of memory,
// ended together; and those on other servers that the settings name. Which file belongs to which base is told
// by callers.
import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CorralError, engineOptionsSchema } from '@corral/contracts';
import type { EngineOptions } from '@corral/contracts';
import { LocalEngine } from './local-engine.ts';
import type { LocalEngineOptions } from './local-engine.ts';
import type { Engine, EngineReport } from './engine.ts';
import { createQuantiser } from './quantiser.ts';
import type { QuantiseRequest } from './quantiser.ts';
import { RemoteEngine } from './remote/remote-engine.ts';
import { remoteIdOf } from './remote/remote-settings.ts';
import type { RemoteEngineSettings } from './remote/remote-settings.ts';
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

export interface Engines {
  /** The engine of a base; starting is left to its first use. */
  engine(base: EngineBase): Engine;
  /** Ends a base's engine because its model is removed, and forgets what was kept of its prompts. */
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
  /** Servers that somebody else runs. */
  readonly remotes?: readonly RemoteEngineSettings[];
  readonly prefixCaches?: PrefixCaches;
};

/** Prompts that outlive the processes that computed them. */
interface PrefixCaches {
  /** Has a folder for each base. */
  readonly folder: string;
  /** False: none is written; what an earlier setting has left goes with its model. */
  readonly keep: boolean;
}

/** A base's id is anybody's choice: its hash is a safe name. */
const prefixFolder = ({ folder }: PrefixCaches, baseId: string): string =>
  join(folder, createHash('sha256').update(baseId).digest('hex').slice(0, 32));

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

/** Engines of this machine, and their budget. */
function createLocalEngines(options: EngineSupervisorOptions) {
  const {
    engine: engineSettings,
    memory: memorySettings,
    prefixCaches: caches,
    remotes: _,
    ...rest
  } = options;
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
  const make = ({ id, modelPath, options: more }: EngineBase): LocalEngine => {
    const kept = caches?.keep ? { prefix_cache_folder: prefixFolder(caches, id) } : {};
    const engineOptions = engineOptionsSchema.parse({ ...engineSettings, ...kept, ...more });
    return new LocalEngine({ ...settings, base: id, modelPath, engineOptions });
  };
  return { settings, memory, make };
}

/** Those that the settings name; they are asked for their health from the start. */
function createRemoteEngines({ remotes = [], onLog }: EngineSupervisorOptions) {
  const engines = new Map(
    remotes.map((remote) => [remote.id, new RemoteEngine({ onLog, ...remote })]),
  );
  for (const engine of engines.values()) void engine.probe();
  const find = (id: string): RemoteEngine => {
    const found = engines.get(id);
    if (found) return found;
    const reason = `this server's settings name no engine "${id}"`;
    throw new CorralError('engine_unavailable', { params: { model: id, reason } });
  };
  return { engines, find };
}

export function createEngineSupervisor(options: EngineSupervisorOptions = {}): Engines {
  const { settings, memory, make } = createLocalEngines(options);
  const remote = createRemoteEngines(options);
  const quantiser = createQuantiser(settings);
  const engines = new Map<string, { modelPath: string; engine: LocalEngine }>();

  const engine = (base: EngineBase): Engine => {
    const remoteId = remoteIdOf(base.modelPath);
    if (remoteId !== null) return remote.find(remoteId);
    const known = engines.get(base.id);
    if (known?.modelPath === base.modelPath) return known.engine;
    void known?.engine.close();
    const made = make(base);
    engines.set(base.id, { modelPath: base.modelPath, engine: made });
    return made;
  };

  const unload = async (baseId: string): Promise<void> => {
    const known = engines.get(baseId);
    engines.delete(baseId);
    await known?.engine.close();
    const { prefixCaches: caches } = options;
    if (caches) await rm(prefixFolder(caches, baseId), { recursive: true, force: true });
  };

  const pin = (bases: readonly EngineBase[]): void => {
    const local = bases.filter(({ modelPath }) => remoteIdOf(modelPath) === null);
    memory.pin(new Set(local.map(({ id }) => id)));
    for (const base of local) {
      engine(base)
        .warm()
        .catch((error: unknown) => settings.onLog?.(`engine ${base.id}: ${String(error)}`));
    }
  };

  const all = (): Engine[] => [
    ...[...engines.values()].map((known) => known.engine),
    ...remote.engines.values(),
  ];
  const close = async (): Promise<void> => {
    const params = { model: 'any', reason: 'the server is stopping' };
    memory.close(new CorralError('engine_unavailable', { params }));
    await Promise.all([quantiser.close(), ...all().map((one) => one.close())]);
  };

  return {
    engine,
    unload,
    quantise: quantiser.quantise,
    pin,
    memory: () => memory.report(),
    report: () => Promise.all(all().map((one) => one.report())),
    close,
    [Symbol.asyncDispose]: close,
  };
}
