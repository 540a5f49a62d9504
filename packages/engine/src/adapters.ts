// The adapters in memory, by id. An adapter in use is not freed under its users: it takes no new ones and
// goes when the last has ended. In what form they lie there is adapter-decoding.ts's business.
import { CorralError, type EngineStatus } from '@corral/contracts';
import type { AdapterDecoding, DecodableAdapter } from './adapters/adapter-decoding.ts';
import { asCorralError, type CheckModelFile } from './model-file.ts';
import type { NativeAdapter } from './llama-cpp/native-types.ts';
import type { Scheduler } from './scheduler/scheduler.ts';

interface LoadedAdapter extends DecodableAdapter {
  readonly id: string;
  readonly path: string;
  /** Called when it is freed; null while it may be used. */
  retired: (() => void) | null;
}

export interface Adapters {
  /** Throws CorralError `model_file_invalid`, or `conflict` when the id means another file. */
  load(id: string, path: string): Promise<void>;
  /** Resolves when it is freed. Throws CorralError `not_found`. */
  unload(id: string): Promise<void>;
  /** The adapter to decode with; null for null. Throws CorralError `not_found`. */
  get(id: string | null): NativeAdapter | null;
  /** Frees retired adapters that nobody uses any more; to be called between steps. */
  sweep(): void;
  list(): EngineStatus['adapters'];
  /** How they are decoded; empty before the first was loaded. */
  status(): Pick<EngineStatus, 'adapter_batching' | 'adapter_batching_reason' | 'adapter_memory'>;
}

const notFound = (id: string): CorralError =>
  new CorralError('not_found', { params: { kind: 'adapter', id }, param: 'adapter_id' });

export interface AdaptersOptions {
  readonly decoding: AdapterDecoding;
  readonly scheduler: Scheduler;
  readonly checkFile: CheckModelFile;
}

class LoadedAdapters implements Adapters {
  readonly #options: AdaptersOptions;
  readonly #loaded = new Map<string, LoadedAdapter>();
  readonly #loading = new Map<string, { readonly path: string; readonly done: Promise<void> }>();

  constructor(options: AdaptersOptions) {
    this.#options = options;
  }

  async load(id: string, path: string): Promise<void> {
    const loading = this.#loading.get(id);
    const loaded = this.#loaded.get(id);
    const known = loading ?? loaded;
    if (known && (known.path !== path || loaded?.retired))
      throw new CorralError('conflict', {
        params: { reason: `the adapter "${id}" is already loaded from another file` },
      });
    if (loaded) return;
    if (loading) return loading.done;
    const done = this.#read(id, path);
    this.#loading.set(id, { path, done });
    await done;
  }

  async unload(id: string): Promise<void> {
    const adapter = this.#loaded.get(id);
    if (!adapter || adapter.retired) throw notFound(id);
    await new Promise<void>((resolve) => {
      adapter.retired = resolve;
      this.sweep();
    });
  }

  get(id: string | null): NativeAdapter | null {
    if (id === null) return null;
    const adapter = this.#loaded.get(id);
    if (!adapter || adapter.retired) throw notFound(id);
    return adapter.handle;
  }

  sweep(): void {
    const { scheduler } = this.#options;
    for (const adapter of this.#loaded.values()) {
      if (!adapter.retired || scheduler.users(adapter.handle) > 0) continue;
      scheduler.forget(adapter.handle);
      adapter.handle.close();
      this.#loaded.delete(adapter.id);
      adapter.retired();
    }
  }

  list(): EngineStatus['adapters'] {
    const { decoding } = this.#options;
    return [...this.#loaded.values()].map(({ id, bytes, rank, handle }) => ({
      id,
      bytes,
      ...(rank === null ? {} : { rank }),
      active: decoding.isActive(handle),
    }));
  }

  status(): ReturnType<Adapters['status']> {
    const { status } = this.#options.decoding;
    if (!status) return {};
    return {
      adapter_batching: status.mode,
      adapter_batching_reason: status.reason,
      adapter_memory: {
        resident_bytes: [...this.#loaded.values()].reduce((sum, { bytes }) => sum + bytes, 0),
        stack_bytes: status.stackBytes,
        max_stack_bytes: status.maxStackBytes,
        stack_ranks: status.stackRanks,
        ...(status.contexts && {
          contexts: status.contexts.count,
          context_sequences: status.contexts.sequences,
          max_context_sequences: status.contexts.maxSequences,
          context_bytes: status.contexts.bytes,
        }),
      },
    };
  }

  async #read(id: string, path: string): Promise<void> {
    const { checkFile, decoding } = this.#options;
    try {
      await checkFile(path, 'adapter');
      const decodable = await decoding.load(path);
      this.#loaded.set(id, { id, path, ...decodable, retired: null });
    } catch (error) {
      throw asCorralError(path, error);
    } finally {
      this.#loading.delete(id);
    }
  }
}

export const createAdapters = (options: AdaptersOptions): Adapters => new LoadedAdapters(options);
