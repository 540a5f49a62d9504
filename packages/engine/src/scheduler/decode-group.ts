// One llama_decode for a list of planned feeds: fills the batch, decodes, hands each wanted row of logits
// to its task. What every decode strategy shares; knows nothing of adapters.
import { CorralError } from '@corral/contracts';
import type { NativeContext } from '../llama-cpp/native-types.ts';
import { addFeed, settleFeeds, type PlannedFeed, type WantedRow } from './step-feed.ts';

const reasons: Record<'no-room' | 'invalid' | 'failed', string> = {
  'no-room': 'the cache of keys and values is full',
  invalid: 'llama.cpp refused the batch',
  failed: 'llama.cpp could not compute the batch',
};

/** What of a context a decode takes. */
export type DecodingContext = Pick<NativeContext, 'batch' | 'decode' | 'logits'>;

/** Decodes one group; a failure ends its tasks and no others. */
export function decodeGroup(context: DecodingContext, group: readonly PlannedFeed[]): void {
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
