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

export function createAdapters({ decoding, scheduler, checkFile }: AdaptersOptions): Adapters {
  const loaded = new Map<string, LoadedAdapter>();
  const loading = new Map<string, { readonly path: string; readonly done: Promise<void> }>();

  function sweep(): void {
    for (const adapter of loaded.values()) {
      if (!adapter.retired || scheduler.users(adapter.handle) > 0) continue;
      scheduler.forget(adapter.handle);
      adapter.handle.close();
      loaded.delete(adapter.id);
      adapter.retired();
    }
  }

  async function read(id: string, path: string): Promise<void> {
    await checkFile(path, 'adapter');
    try {
      const decodable = await decoding.load(path);
      loaded.set(id, { id, path, ...decodable, retired: null });
    } catch (error) {
      throw asCorralError(path, error);
    } finally {
      loading.delete(id);
    }
  }

  return {
    load: async (id, path) => {
      const known = loaded.get(id) ?? loading.get(id);
      if (known && (known.path !== path || ('retired' in known && known.retired)))
        throw new CorralError('conflict', {
          params: { reason: `the adapter "${id}" is already loaded from another file` },
        });
      if (known) return 'done' in known ? known.done : undefined;
      const done = read(id, path);
      loading.set(id, { path, done });
      await done;
    },
    unload: async (id) => {
      const adapter = loaded.get(id);
      if (!adapter || adapter.retired) throw notFound(id);
      await new Promise<void>((resolve) => {
        adapter.retired = resolve;
        sweep();
      });
    },
    get: (id) => {
      if (id === null) return null;
      const adapter = loaded.get(id);
      if (!adapter || adapter.retired) throw notFound(id);
      return adapter.handle;
    },
    sweep,
    list: () =>
      [...loaded.values()].map(({ id, bytes, rank, handle }) => ({
        id,
        bytes,
        ...(rank === null ? {} : { rank }),
        active: decoding.isActive(handle),
      })),
    status: () => {
      const { status } = decoding;
      if (!status) return {};
      return {
        adapter_batching: status.mode,
        adapter_batching_reason: status.reason,
        adapter_memory: {
          resident_bytes: [...loaded.values()].reduce((sum, { bytes }) => sum + bytes, 0),
          stack_bytes: status.stackBytes,
          max_stack_bytes: status.maxStackBytes,
          stack_ranks: status.stackRanks,
        },
      };
    },
  };
}
