// Who may share keys and values with whom: one tenant's tasks with one adapter, nobody else. A namespace is
// a string that begins with its kind, so that no tenant's name can be that of another's adapter.
import type { NativeAdapter } from '../llama-cpp/native-types.ts';
import type { SequenceTask } from './sequence-task.ts';

type Owner = Pick<SequenceTask, 'tenant' | 'adapter' | 'adapterDigest' | 'id'>;

export interface Namespaces {
  /** Of all tasks of the same tenant and adapter. */
  of(task: Owner): string;
  /** Of this task alone. */
  ofTask(task: Owner): string;
  /** `of` under a name that outlives the process; null where an adapter's content is not known. */
  durable(task: Owner): string | null;
  isOf(namespace: string, adapter: NativeAdapter): boolean;
}

export function createNamespaces(): Namespaces {
  // By identity: an adapter that is unloaded and loaded again may hold other weights under its old name.
  const numbers = new WeakMap<NativeAdapter, number>();
  let count = 0;
  const numberOf = (adapter: NativeAdapter | null): number => {
    if (!adapter) return 0;
    const known = numbers.get(adapter);
    if (known !== undefined) return known;
    numbers.set(adapter, ++count);
    return count;
  };
  return {
    of: ({ tenant, adapter }) => `${numberOf(adapter)} tenant ${tenant}`,
    ofTask: ({ id, adapter }) => `${numberOf(adapter)} task ${id}`,
    durable: ({ tenant, adapter, adapterDigest = null }) =>
      adapter && adapterDigest === null ? null : `${adapterDigest ?? 'base'} tenant ${tenant}`,
    isOf: (namespace, adapter) => namespace.startsWith(`${numberOf(adapter)} `),
  };
}
