// Waiting work, first come first served within a tenant; between tenants the one with least running comes
// first, by turns among equals: a tenant with a hundred requests delays another's first one by none.

export interface TenantQueue<Item> {
  readonly size: number;
  push(tenant: string, item: Item): void;
  /** In front of the tenant's other items: it had its turn and lost it. */
  unshift(tenant: string, item: Item): void;
  /** The tenant whose turn it is, undefined when nothing waits. `load`: what a tenant has running. */
  next(load?: (tenant: string) => number): string | undefined;
  /** Takes the first item of the tenant whose turn it is. */
  shift(load?: (tenant: string) => number): Item | undefined;
  /** Takes out the first item that matches. */
  remove(matches: (item: Item) => boolean): Item | undefined;
  [Symbol.iterator](): IterableIterator<Item>;
}

export function createTenantQueue<Item>(): TenantQueue<Item> {
  // A Map keeps insertion order: the tenant in front is next, and goes to the back when served.
  const tenants = new Map<string, Item[]>();
  let size = 0;
  function* items(): IterableIterator<Item> {
    for (const waiting of tenants.values()) yield* waiting;
  }
  const waitingOf = (tenant: string): Item[] => {
    const waiting = tenants.get(tenant) ?? [];
    tenants.set(tenant, waiting);
    return waiting;
  };
  function next(load: (tenant: string) => number = () => 0): string | undefined {
    let chosen: string | undefined;
    let least = Infinity;
    for (const tenant of tenants.keys()) {
      const running = load(tenant);
      if (running < least) [chosen, least] = [tenant, running];
    }
    return chosen;
  }
  return {
    get size() {
      return size;
    },
    push: (tenant, item) => {
      waitingOf(tenant).push(item);
      size++;
    },
    unshift: (tenant, item) => {
      waitingOf(tenant).unshift(item);
      size++;
    },
    next,
    shift: (load) => {
      const tenant = next(load);
      if (tenant === undefined) return undefined;
      const waiting = waitingOf(tenant);
      const item = waiting.shift();
      tenants.delete(tenant);
      if (waiting.length > 0) tenants.set(tenant, waiting);
      size--;
      return item;
    },
    remove: (matches) => {
      for (const [tenant, waiting] of tenants) {
        const index = waiting.findIndex(matches);
        if (index < 0) continue;
        const [item] = waiting.splice(index, 1);
        if (waiting.length === 0) tenants.delete(tenant);
        size--;
        return item;
      }
      return undefined;
    },
    [Symbol.iterator]: items,
  };
}
