// Waiting work, first come first served within a tenant, round robin between tenants: a tenant with a
// hundred requests delays another's first one by one request, not by a hundred.

export interface TenantQueue<Item> {
  readonly size: number;
  push(tenant: string, item: Item): void;
  /** The next item in fair order, undefined when there is none. */
  shift(): Item | undefined;
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
  return {
    get size() {
      return size;
    },
    push: (tenant, item) => {
      const waiting = tenants.get(tenant);
      if (waiting) waiting.push(item);
      else tenants.set(tenant, [item]);
      size++;
    },
    shift: () => {
      const [first] = tenants;
      if (!first) return undefined;
      const [tenant, waiting] = first;
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
