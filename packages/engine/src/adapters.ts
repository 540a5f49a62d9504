// The adapters in memory, by id. An adapter in use is not freed under its users: it takes no new ones and
// goes when the last has ended.
import { stat } from 'node:fs/promises';
import { CorralError, type EngineStatus } from '@corral/contracts';
import type { CheckModelFile } from './model-file.ts';
import type { NativeAdapter, NativeModel } from './llama-cpp/native-types.ts';
import type { Scheduler } from './scheduler/scheduler.ts';

interface LoadedAdapter {
  readonly id: string;
  readonly path: string;
  readonly bytes: number;
  readonly native: NativeAdapter;
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
}

const notFound = (id: string): CorralError =>
  new CorralError('not_found', { params: { kind: 'adapter', id }, param: 'adapter_id' });

export interface AdaptersOptions {
  readonly model: NativeModel;
  readonly scheduler: Scheduler;
  readonly checkFile: CheckModelFile;
}

export function createAdapters({ model, scheduler, checkFile }: AdaptersOptions): Adapters {
  const loaded = new Map<string, LoadedAdapter>();

  function sweep(): void {
    for (const adapter of loaded.values()) {
      if (!adapter.retired || scheduler.users(adapter.native) > 0) continue;
      scheduler.forget(adapter.native);
      adapter.native.close();
      loaded.delete(adapter.id);
      adapter.retired();
    }
  }

  return {
    load: async (id, path) => {
      await checkFile(path, 'adapter');
      const { size } = await stat(path);
      const known = loaded.get(id);
      if (known && known.path === path && !known.retired) return;
      if (known)
        throw new CorralError('conflict', {
          params: { reason: `the adapter "${id}" is already loaded from another file` },
        });
      loaded.set(id, { id, path, bytes: size, native: model.loadAdapter(path), retired: null });
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
      return adapter.native;
    },
    sweep,
    list: () => [...loaded.values()].map(({ id, bytes }) => ({ id, bytes })),
  };
}
