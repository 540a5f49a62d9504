// The adapters that one engine child holds: loaded when first needed, shared, and the longest unused
// unloaded beyond a limit. An adapter with a running request is never unloaded. Knows no processes.
import type { EngineAdapter } from './engine.ts';

interface Slot {
  readonly loading: Promise<unknown>;
  users: number;
}

export interface AdapterHost {
  load(adapter: EngineAdapter): Promise<unknown>;
  unload(id: string): Promise<unknown>;
}

export class AdapterSlots {
  readonly #host: AdapterHost;
  readonly #limit: number;
  /** Longest unused first. */
  readonly #slots = new Map<string, Slot>();
  readonly #unloading = new Map<string, Promise<unknown>>();

  /** More than `limit` are held only while all of them are in use. */
  constructor(host: AdapterHost, limit: number) {
    this.#host = host;
    this.#limit = limit;
  }

  /** Loads the adapter if need be and keeps it until the returned function is called. */
  async take(adapter: EngineAdapter): Promise<() => void> {
    const slot = this.#slots.get(adapter.id) ?? this.#load(adapter);
    this.#slots.delete(adapter.id);
    this.#slots.set(adapter.id, slot);
    slot.users++;
    this.#shrink();
    let held = true;
    const release = (): void => {
      if (!held) return;
      held = false;
      slot.users--;
      this.#shrink();
    };
    try {
      await slot.loading;
      return release;
    } catch (error) {
      // A failed load may be tried again.
      if (this.#slots.get(adapter.id) === slot) this.#slots.delete(adapter.id);
      release();
      throw error;
    }
  }

  #load(adapter: EngineAdapter): Slot {
    const left = this.#unloading.get(adapter.id);
    const loading = left ? left.then(() => this.#host.load(adapter)) : this.#host.load(adapter);
    return { loading, users: 0 };
  }

  #shrink(): void {
    for (const [id, slot] of this.#slots) {
      if (this.#slots.size <= this.#limit) return;
      if (slot.users > 0) continue;
      this.#slots.delete(id);
      const left = this.#host
        .unload(id)
        // A child that is gone has nothing loaded.
        .catch(() => undefined)
        .finally(() => this.#unloading.delete(id));
      this.#unloading.set(id, left);
    }
  }
}
