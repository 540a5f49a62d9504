// How one step with sequences of different adapters is decoded: group by adapter, switch, decode each
// group. The one file to replace by another strategy (such as one stacked adapter with a rank mask).
// Safe because keys and values belong to a sequence: a switch changes only what is decoded next.
import { CorralError } from '@corral/contracts';
import type { NativeAdapter, NativeContext } from '../llama-cpp/native-types.ts';
import { addFeed, settleFeeds, type PlannedFeed, type WantedRow } from './step-feed.ts';

export interface DecodeStrategy {
  /** Feeds the plan and hands each wanted row of logits to its task. */
  run(plan: readonly PlannedFeed[]): void;
  /** Must be called before an adapter is freed. */
  forget(adapter: NativeAdapter): void;
}

const reasons: Record<'no-room' | 'invalid' | 'failed', string> = {
  'no-room': 'the cache of keys and values is full',
  invalid: 'llama.cpp refused the batch',
  failed: 'llama.cpp could not compute the batch',
};

/** Decodes one group; a failure ends its tasks and no others. */
function runGroup(context: NativeContext, group: readonly PlannedFeed[]): void {
  const { batch } = context;
  batch.clear();
  const wanted: WantedRow[] = [];
  for (const feed of group) addFeed(batch, feed, wanted);
  const outcome = context.decode();
  if (outcome !== 'ok') {
    const error = new CorralError('engine_failed', { params: { reason: reasons[outcome] } });
    for (const { slot } of group) slot.task.fail(error);
    return;
  }
  settleFeeds(group, wanted, (index) => context.logits(index));
}

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
        runGroup(context, groups.get(adapter) ?? []);
      }
    },
    forget: (adapter) => {
      if (active !== adapter) return;
      context.useAdapter(null);
      active = null;
    },
  };
}
