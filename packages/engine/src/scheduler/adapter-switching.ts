// The plain way to decode a step with sequences of different adapters: group by adapter, switch, decode each
// group. Works with every model and adapter that llama.cpp knows, and on every device; adapter-stacking.ts
// is faster where it can be used. Safe because keys and values belong to a sequence: a switch changes only
// what is decoded next.
import type { NativeAdapter, NativeContext } from '../llama-cpp/native-types.ts';
import { decodeGroup } from './decode-group.ts';
import type { DecodeStrategy } from './decode-strategy.ts';

export function createAdapterSwitching(context: NativeContext): DecodeStrategy {
  let active: NativeAdapter | null = null;
  return {
    run: (plan) => {
      const groups = Map.groupBy(plan, ({ slot }) => slot.task.adapter);
      // The adapter that is on goes first: a switch makes llama.cpp reserve its graphs again (6 ms).
      const order = [...groups.keys()].toSorted(
        (a, b) => Number(b === active) - Number(a === active),
      );
      for (const adapter of order) {
        context.useAdapter(adapter);
        active = adapter;
        decodeGroup(context, groups.get(adapter) ?? []);
      }
    },
    forget: (adapter) => {
      if (active !== adapter) return;
      context.useAdapter(null);
      active = null;
    },
  };
}
