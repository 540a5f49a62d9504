// The plain way to decode a step with sequences of different adapters: group by adapter, switch, decode each
// group. Works with every model and adapter that llama.cpp knows, and on every device; adapter-stacking.ts
// is faster where it can be used. Safe because keys and values belong to a sequence: a switch changes only
// what is decoded next.
import { CorralError } from '@corral/contracts';
import type { NativeAdapter, NativeContext } from '../llama-cpp/native-types.ts';
import { decodeGroup } from './decode-group.ts';
import type { DecodeStrategy } from './decode-strategy.ts';

/** `native`: what to switch on for an adapter; throws CorralError when it cannot be loaded. */
export function createAdapterSwitching(
  context: NativeContext,
  native = (adapter: NativeAdapter): NativeAdapter => adapter,
): DecodeStrategy {
  let active: NativeAdapter | null = null;
  return {
    run: (plan) => {
      const groups = Map.groupBy(plan, ({ slot }) => slot.task.adapter);
      // The adapter that is on goes first: a switch makes llama.cpp reserve its graphs again (6 ms).
      const order = [...groups.keys()].toSorted(
        (a, b) => Number(b === active) - Number(a === active),
      );
      for (const adapter of order) {
        const feeds = groups.get(adapter) ?? [];
        try {
          context.useAdapter(adapter && native(adapter));
        } catch (error) {
          if (!CorralError.isInstance(error)) throw error;
          for (const { slot } of feeds) slot.task.fail(error);
          continue;
        }
        active = adapter;
        decodeGroup(context, feeds);
      }
    },
    forget: (adapter) => {
      if (active !== adapter) return;
      context.useAdapter(null);
      active = null;
    },
  };
}
