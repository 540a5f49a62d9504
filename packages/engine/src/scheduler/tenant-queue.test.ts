// Fairness of the waiting line.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createTenantQueue } from './tenant-queue.ts';

describe('createTenantQueue', () => {
  it('serves tenants in turn, each in its own order', () => {
    const queue = createTenantQueue<string>();
    for (const item of ['a1', 'a2', 'a3', 'b1', 'b2', 'c1']) queue.push(item.charAt(0), item);
    const served = Array.from({ length: 6 }, () => queue.shift());
    expect(served).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3']);
    expect(queue.shift()).toBeUndefined();
  });

  it('never lets a waiting tenant see two items of another in a row', () => {
    const pushes = fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(pushes, (tenants) => {
        const queue = createTenantQueue<string>();
        for (const tenant of tenants) queue.push(tenant, tenant);
        let last = '';
        const left = new Map<string, number>();
        for (const tenant of tenants) left.set(tenant, (left.get(tenant) ?? 0) + 1);
        while (queue.size > 0) {
          const tenant = queue.shift() as string;
          const alone = left.size === 1;
          expect(tenant !== last || alone).toBe(true);
          last = tenant;
          const rest = (left.get(tenant) ?? 0) - 1;
          if (rest === 0) left.delete(tenant);
          else left.set(tenant, rest);
        }
        expect(left.size).toBe(0);
      }),
    );
  });

  it('removes a waiting item', () => {
    const queue = createTenantQueue<string>();
    queue.push('a', 'a1');
    queue.push('b', 'b1');
    expect(queue.remove((item) => item === 'a1')).toBe('a1');
    expect(queue.remove((item) => item === 'a1')).toBeUndefined();
    expect([...queue]).toEqual(['b1']);
    expect(queue.size).toBe(1);
  });
});
